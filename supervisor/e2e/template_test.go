package e2e

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const templatePath = "../../.github/aws/simpletalk.yml"

// template is a CloudFormation template, with its functions in their long form.
type template struct {
	t *testing.T
	m map[string]any
	// given are the values of parameters and pseudo parameters, and the attributes of
	// resources, by which functions are evaluated.
	given map[string]string
}

// absent is the value of AWS::NoValue.
type absent struct{}

func readTemplate(t *testing.T, given map[string]string) template {
	t.Helper()
	text, err := os.ReadFile(templatePath)
	if err != nil {
		t.Fatal(err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	m := template{t, long(root.Content[0]).(map[string]any), map[string]string{
		"AWS::Region": "eu-central-1", "AWS::Partition": "aws", "AWS::AccountId": "123456789012", "AWS::StackName": "chat",
		"ReleaseUrl": "https://example.org/simpletalk.tar.gz",
		"Done":       "https://cloudformation-waitcondition.example.org/?a=b&c=d%3D",
	}}
	for name, p := range m.m["Parameters"].(map[string]any) {
		if value, ok := p.(map[string]any)["Default"]; ok {
			m.given[name] = fmt.Sprint(value)
		}
	}
	for name, value := range given {
		m.given[name] = value
	}
	return m
}

// long is a node as plain values, with !Sub and its like as {"Fn::Sub": …}.
func long(n *yaml.Node) any {
	var v any
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = long(n.Content[i+1])
		}
		v = m
	case yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			list = append(list, long(c))
		}
		v = list
	default:
		v = n.Value
	}
	switch tag := strings.TrimPrefix(n.Tag, "!"); {
	case strings.HasPrefix(tag, "!"):
		return v
	case tag == "Ref", tag == "Condition":
		return map[string]any{tag: v}
	default:
		return map[string]any{"Fn::" + tag: v}
	}
}

// at is the value at a path, evaluated.
func (m template) at(path ...string) any {
	m.t.Helper()
	var v any = m.m
	for _, name := range path {
		in, ok := v.(map[string]any)
		if !ok || in[name] == nil {
			m.t.Fatalf("the template has no %s", strings.Join(path, "."))
		}
		v = in[name]
	}
	return m.value(v)
}

// property is one of a resource.
func (m template) property(resource string, path ...string) any {
	m.t.Helper()
	return m.at(append([]string{"Resources", resource, "Properties"}, path...)...)
}

// value evaluates functions.
func (m template) value(v any) any {
	switch v := v.(type) {
	case []any:
		list := []any{}
		for _, e := range v {
			if e = m.value(e); e != (absent{}) {
				list = append(list, e)
			}
		}
		return list
	case map[string]any:
		for name, args := range v {
			if len(v) == 1 && (name == "Ref" || name == "Condition" || strings.HasPrefix(name, "Fn::")) {
				return m.call(name, args)
			}
		}
		all := map[string]any{}
		for name, e := range v {
			if e = m.value(e); e != (absent{}) {
				all[name] = e
			}
		}
		return all
	}
	return v
}

var variable = regexp.MustCompile(`\$\{([^!}]+)\}`)

func (m template) call(name string, args any) any {
	list, _ := args.([]any)
	switch name {
	case "Ref":
		if args == "AWS::NoValue" {
			return absent{}
		}
		return m.ref(args.(string))
	case "Fn::GetAtt":
		return m.ref(args.(string))
	case "Fn::Sub":
		return variable.ReplaceAllStringFunc(args.(string), func(v string) string { return m.ref(v[2 : len(v)-1]) })
	case "Fn::Join":
		var parts []string
		for _, p := range m.value(list[1]).([]any) {
			parts = append(parts, p.(string))
		}
		return strings.Join(parts, list[0].(string))
	case "Fn::Base64":
		return m.value(args)
	case "Fn::If":
		if m.at("Conditions", list[0].(string)) == true {
			return m.value(list[1])
		}
		return m.value(list[2])
	case "Condition":
		return m.at("Conditions", args.(string))
	case "Fn::Equals":
		return m.value(list[0]) == m.value(list[1])
	case "Fn::Not":
		return m.value(list[0]) != true
	case "Fn::Or":
		return slices.ContainsFunc(list, func(c any) bool { return m.value(c) == true })
	}
	m.t.Fatalf("the test does not know %s", name)
	return nil
}

// ref is what a name stands for; of a resource, its name.
func (m template) ref(name string) string {
	if value, ok := m.given[name]; ok {
		return value
	}
	resource, _, _ := strings.Cut(name, ".")
	if _, ok := m.m["Resources"].(map[string]any)[resource]; !ok {
		m.t.Fatalf("the template refers to %s, which is not there", name)
	}
	return name
}

// userData is what the instance is started with.
func (m template) userData() string {
	m.t.Helper()
	return m.property("Instance", "UserData").(string)
}

// files are those that the user data writes, by path.
func (m template) files() map[string]string {
	m.t.Helper()
	var cloud struct {
		WriteFiles []struct{ Path, Permissions, Content string } `yaml:"write_files"`
		Runcmd     [][]string                                    `yaml:"runcmd"`
	}
	if err := yaml.Unmarshal([]byte(m.userData()), &cloud); err != nil {
		m.t.Fatal(err)
	}
	if len(cloud.Runcmd) != 1 || len(cloud.Runcmd[0]) != 1 || cloud.Runcmd[0][0] != setupPath {
		m.t.Errorf("it runs %v, want one script and nothing else", cloud.Runcmd)
	}
	files := map[string]string{}
	for _, f := range cloud.WriteFiles {
		files[f.Path] = f.Content
		if want := map[string]string{setupPath: "0755", settingsPath: "0600"}[f.Path]; f.Permissions != want {
			m.t.Errorf("%s has mode %s, want %s", f.Path, f.Permissions, want)
		}
	}
	return files
}
