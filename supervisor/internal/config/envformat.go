package config

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// FormatEnvFile writes variables so that an environment file which has the text
// gives a program exactly these, and so does systemd's EnvironmentFile=. They
// are sorted: equal variables are equal text. Its error names a variable, and
// never shows a value.
func FormatEnvFile(variables map[string]string) ([]byte, error) {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		value := variables[name]
		switch {
		case !ValidVariable(name):
			return nil, fmt.Errorf("the name %s must have %s", quote(name), variableRule)
		case reserved(name):
			return nil, fmt.Errorf("%s: only the supervisor may set it", name)
		case hasNUL(value):
			return nil, fmt.Errorf("%s has a zero byte, which no variable can hold", name)
		}
		fmt.Fprintf(&b, "%s=\"%s\"\n", name, envEscaper.Replace(value))
	}
	return b.Bytes(), nil
}

// envEscaper writes a value for double quotes. Lines that end as Windows' do would
// be read with the newline alone, so that their two characters are kept apart.
var envEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", "$", `\$`, "\r\n", "\r\"\"\n")
