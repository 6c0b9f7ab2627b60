package web

import "embed"

// files are the page: plain modules and styles, served as they are.
//
//go:embed ui
var files embed.FS
