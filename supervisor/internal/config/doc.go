// Package config turns what an operator wrote into what the supervisor does,
// and says of every mistake what it is, where, and what would be right.
package config
