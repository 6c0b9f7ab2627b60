package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every test that the README names as a proof is there: by `go test PACKAGE -run NAME`,
// by the name of a test of this package, or, in italics, by that of a script.
func TestTheReadmeNamesTestsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := strings.ReplaceAll(string(text), `\|`, "|")
	commands := regexp.MustCompile("`go test (\\./[^`]*)`").FindAllStringSubmatch(readme, -1)
	if len(commands) < 40 {
		t.Errorf("%d commands found", len(commands))
	}
	for _, c := range commands {
		for _, pkg := range regexp.MustCompile(`\./[\w/.]*`).FindAllString(c[1], -1) {
			tests := testsOf(t, "../../"+strings.TrimSuffix(pkg, "/..."))
			run := regexp.MustCompile(`-run '?([^'\s]+)'?`).FindStringSubmatch(c[1])
			if run != nil && run[1] != "^$" && // benchmarks alone
				!strings.Contains(c[1], "TestScripts/") && !slices.ContainsFunc(tests, regexp.MustCompile(run[1]).MatchString) {
				t.Errorf("%s: no test of %s is called so", c[0], pkg)
			}
			if len(tests) == 0 {
				t.Errorf("%s: no tests", c[0])
			}
		}
	}
	here := testsOf(t, ".")
	for _, line := range strings.Split(readme, "\n") {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		for _, name := range regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(line, -1) {
			if !slices.ContainsFunc(here, func(test string) bool { return strings.HasPrefix(test, name[1]) }) {
				t.Errorf("no test is called %s", name[1])
			}
		}
		for _, name := range regexp.MustCompile(`[ (]\*([a-z0-9-]+)\*`).FindAllStringSubmatch(line, -1) {
			if _, err := os.Stat("../testdata/script/" + name[1] + ".txtar"); err != nil {
				t.Error(err)
			}
		}
	}
}

// Its layout names every package of either program.
func TestTheReadmeNamesEveryPackage(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, layout, _ := strings.Cut(string(text), "\n## Layout\n")
	for program, until := range map[string]string{"supervisor": "\n  e2e", "app": "\n```"} {
		_, block, _ := strings.Cut(layout, "\n"+program+"/")
		_, block, _ = strings.Cut(block, "internal/")
		block, _, found := strings.Cut(block, until)
		if !found {
			t.Fatalf("no packages of %s in the layout", program)
		}
		dirs, err := filepath.Glob("../../" + program + "/internal/*")
		if err != nil || len(dirs) == 0 {
			t.Fatal(dirs, err)
		}
		for _, dir := range dirs {
			if !slices.Contains(strings.Fields(block), filepath.Base(dir)) {
				t.Errorf("%s is not in the layout", dir)
			}
		}
	}
}

// testsOf are the names of the tests in a folder.
func testsOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			names = append(names, f[1])
		}
	}
	return names
}
