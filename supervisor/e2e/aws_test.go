package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the user data writes.
const (
	setupPath    = "/opt/simpletalk-setup/setup"
	settingsPath = "/opt/simpletalk-setup/settings"
)

func TestTheFirewallIsClosed(t *testing.T) {
	web := []string{"tcp 80-80 0.0.0.0/0", "tcp 443-443 0.0.0.0/0"}
	for _, c := range []struct {
		given   map[string]string
		in, out []string
	}{
		{nil, web, web},
		{map[string]string{"SshAddress": "203.0.113.7/32"}, append(slices.Clone(web), "tcp 22-22 203.0.113.7/32"), web},
		{map[string]string{"MongoUriParameter": "/simpletalk/mongodb-uri"}, web, append(slices.Clone(web), "tcp 27015-27017 0.0.0.0/0")},
	} {
		m := readTemplate(t, c.given)
		for direction, want := range map[string][]string{"SecurityGroupIngress": c.in, "SecurityGroupEgress": c.out} {
			var got []string
			for _, r := range m.property("Firewall", direction).([]any) {
				rule := r.(map[string]any)
				got = append(got, fmt.Sprintf("%s %s-%s %s", rule["IpProtocol"], rule["FromPort"], rule["ToPort"], rule["CidrIp"]))
				delete(rule, "Description")
				if len(rule) != 4 {
					t.Errorf("a rule has more: %v", rule)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v: %s is %q, want %q", c.given, direction, got, want)
			}
		}
		if got := m.property("Instance", "SecurityGroupIds"); !reflect.DeepEqual(got, []any{"Firewall"}) {
			t.Errorf("the instance is in %v", got)
		}
	}
}

// Kinds of resources, so that nothing comes in unseen that opens a port or costs.
func TestTheStackHasThisAndNoMore(t *testing.T) {
	m := readTemplate(t, nil)
	kinds := map[string]int{}
	for _, r := range m.m["Resources"].(map[string]any) {
		kinds[strings.TrimPrefix(r.(map[string]any)["Type"].(string), "AWS::")]++
	}
	want := map[string]int{
		"EC2::VPC": 1, "EC2::InternetGateway": 1, "EC2::VPCGatewayAttachment": 1, "EC2::Subnet": 1, "EC2::RouteTable": 1,
		"EC2::Route": 1, "EC2::SubnetRouteTableAssociation": 1, "EC2::SecurityGroup": 1, "EC2::Instance": 1, "EC2::Volume": 1,
		"EC2::VolumeAttachment": 1, "EC2::EIP": 1, "EC2::EIPAssociation": 1, "IAM::Role": 1, "IAM::RolePolicy": 1,
		"IAM::InstanceProfile": 1, "SNS::Topic": 1, "CloudWatch::Alarm": 2,
		"CloudFormation::WaitConditionHandle": 1, "CloudFormation::WaitCondition": 1,
	}
	if !maps.Equal(kinds, want) {
		t.Errorf("resources are %v, want %v", kinds, want)
	}
}

func TestTheInstance(t *testing.T) {
	m := readTemplate(t, nil)
	for what, c := range map[string]struct{ got, want any }{
		"type":     {m.property("Instance", "InstanceType"), "t3.micro"},
		"credits":  {m.property("Instance", "CreditSpecification", "CPUCredits"), "standard"},
		"metadata": {m.property("Instance", "MetadataOptions"), map[string]any{"HttpTokens": "required", "HttpPutResponseHopLimit": "1", "HttpEndpoint": "enabled"}},
		"disks": {m.property("Instance", "BlockDeviceMappings"), []any{map[string]any{"DeviceName": "/dev/xvda",
			"Ebs": map[string]any{"VolumeType": "gp3", "VolumeSize": "8", "Encrypted": "true", "DeleteOnTermination": "true"}}}},
		"data kept":     {m.at("Resources", "Data", "DeletionPolicy"), "Retain"},
		"data replaced": {m.at("Resources", "Data", "UpdateReplacePolicy"), "Retain"},
		"data secret":   {m.property("Data", "Encrypted"), "true"},
		"data":          {m.property("Data", "VolumeType"), "gp3"},
		"url":           {m.at("Outputs", "Url", "Value"), "http://Address.PublicIp/"},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
	if key, ok := m.property("Instance").(map[string]any)["KeyName"]; ok {
		t.Errorf("without a key it has %v", key)
	}
	m = readTemplate(t, map[string]string{"ElasticIp": "no"})
	if url := m.at("Outputs", "Url", "Value"); url != "http://Instance.PublicIp/" {
		t.Errorf("without an address of its own the URL is %v", url)
	}
}

// The instance may be managed, and read the secrets that it is told of; no other.
func TestTheRoleHasLeastRights(t *testing.T) {
	const parameter = "arn:aws:ssm:eu-central-1:123456789012:parameter"
	none := parameter + "/simpletalk/none"
	for name, c := range map[string]struct {
		given map[string]string
		may   []any
	}{
		"no secrets": {nil, nil},
		"a database": {map[string]string{"MongoUriParameter": "/a/uri"}, []any{parameter + "/a/uri"}},
		"a runner":   {map[string]string{"Repository": "o/n", "RunnerTokenParameter": "/a/token"}, []any{parameter + "/a/token"}},
		"both":       {map[string]string{"Repository": "o/n", "RunnerTokenParameter": "/a/token", "MongoUriParameter": "/a/uri"}, []any{parameter + "/a/uri", parameter + "/a/token"}},
	} {
		m := readTemplate(t, c.given)
		if got := m.property("Role", "ManagedPolicyArns"); !reflect.DeepEqual(got, []any{"arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"}) {
			t.Errorf("%s: policies %v", name, got)
		}
		want := []any{map[string]any{
			"Effect": "Deny", "NotResource": append(slices.Clone(c.may), none),
			"Action": []any{"ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath", "ssm:GetParameterHistory"},
		}}
		if c.may != nil {
			want = append(want, map[string]any{"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": c.may})
		}
		if got := m.property("Secrets", "PolicyDocument", "Statement"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: it may %v, want %v", name, got, want)
		}
	}
}

// Parameters refuse what would fail later, or get into a shell.
func TestTheParametersAreChecked(t *testing.T) {
	m := readTemplate(t, nil)
	for name, p := range m.m["Parameters"].(map[string]any) {
		p := p.(map[string]any)
		if len(fmt.Sprint(p["Description"])) < 15 {
			t.Errorf("%s has the description %q", name, p["Description"])
		}
		if p["Type"] == "String" && p["AllowedPattern"] == nil && p["AllowedValues"] == nil {
			t.Errorf("%s may be anything", name)
		}
		if p["NoEcho"] != nil {
			t.Errorf("%s is a secret: those come by Parameter Store, user data is no place for them", name)
		}
	}
	for name, c := range map[string]struct{ right, wrong []string }{
		"SshAddress":           {[]string{"", "203.0.113.7/32", "255.255.255.255/32"}, []string{"203.0.113.0/24", "0.0.0.0/0", "256.1.1.1/32", "203.0.113.7", "::1/128", "203.0.113.7/32 "}},
		"ReleaseUrl":           {[]string{"https://github.com/o/n/releases/latest/download/simpletalk.tar.gz"}, []string{"", "http://x/a.tar.gz", "https://x/a.zip", "https://x/'$(id)'.tar.gz", "https://x/a b.tar.gz"}},
		"ReleaseSha256":        {[]string{"", strings.Repeat("a0", 32)}, []string{"a", strings.Repeat("g0", 32)}},
		"Repository":           {[]string{"", "o/n", "my-org/my.repo_1"}, []string{"n", "https://github.com/o/n", "o/n/m", "o/n'"}},
		"MongoUriParameter":    {[]string{"", "/simpletalk/mongodb-uri"}, []string{"mongodb://x", "/a'b", "simpletalk"}},
		"RunnerTokenParameter": {[]string{"/simpletalk/runner-token"}, []string{"", "token"}},
		"RunnerVersion":        {[]string{"2.328.0"}, []string{"", "v2.328.0", "2.328.0/../x"}},
		"RunnerSha256":         {[]string{strings.Repeat("a0", 32)}, []string{"", "x"}},
		"AlarmEmail":           {[]string{"", "me@example.org"}, []string{"me", "a b@example.org"}},
		"KeyName":              {[]string{"", "my key-1"}, []string{"a'b", "$(id)"}},
	} {
		pattern := regexp.MustCompile(m.at("Parameters", name, "AllowedPattern").(string))
		for _, v := range c.right {
			if !pattern.MatchString(v) {
				t.Errorf("%s refuses %q", name, v)
			}
		}
		for _, v := range c.wrong {
			if pattern.MatchString(v) {
				t.Errorf("%s takes %q", name, v)
			}
		}
	}
}

func TestCloudFormationsLinterFindsNothing(t *testing.T) {
	lint, err := exec.LookPath("cfn-lint")
	if err != nil {
		t.Skip("there is no cfn-lint, which is to be had from Python's registry only: pip install cfn-lint==1.51.0")
	}
	if out, err := exec.Command(lint, templatePath).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestTheUserDataIsRight(t *testing.T) {
	m := readTemplate(t, map[string]string{"Repository": "owner/name"})
	data := m.userData()
	if !strings.HasPrefix(data, "#cloud-config\n") || len(data) > 16<<10 {
		t.Errorf("%d bytes, of 16384 at most, begin with %.20q", len(data), data)
	}
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	files := m.files()
	if want := "REPOSITORY='owner/name'\n"; !strings.Contains(files[settingsPath], want) {
		t.Errorf("settings are\n%s", files[settingsPath])
	}
	for _, c := range [][]string{
		{"cloud-init", "schema", "--config-file", write("user-data", data)},
		{"shellcheck", "--severity=style", write("setup.sh", files[setupPath])},
		{"shellcheck", "--shell=bash", "--exclude=SC2034", write("settings", files[settingsPath])},
	} {
		t.Run(c[0]+" "+filepath.Base(c[len(c)-1]), func(t *testing.T) {
			if _, err := exec.LookPath(c[0]); err != nil {
				skip(t, fmt.Sprintf("there is no %s (Debian: apt-get install %s)", c[0], c[0]))
			}
			if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
