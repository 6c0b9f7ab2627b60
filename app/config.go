//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/mongo"
	"github.com/simpletalk/simpletalk/app/internal/nats"
	"github.com/simpletalk/simpletalk/app/internal/web"
	"github.com/simpletalk/simpletalk/proto/address"
)

// config is what serve is told by flags and environment.
type config struct {
	data    string
	mongo   string       // the URI of a MongoDB database, "" for the embedded store; a secret
	nats    nats.Options // of the way to other hosts; without a URL there are none
	origins []string
	trusted []netip.Prefix
	listen  string // "" when not asked for
	limits  chat.Limits
	debug   string // the path of a Unix socket, "" for none
	signup  auth.Signup

	perAddress int // connections of one address, 0 for the default
}

const defaultListen = "127.0.0.1:3000"

// setting is one flag and its twin in the environment. The flag wins.
type setting struct{ flag, env, usage string }

var (
	dataSetting       = setting{"data", "SIMPLETALK_DATA", "`directory` of the store (default $STATE_DIRECTORY or ./data)"}
	originsSetting    = setting{"origins", "ORIGINS", "comma separated `list` of scheme://host that may open a WebSocket (default the request's own)"}
	trustedSetting    = setting{"trusted-proxies", "TRUSTED_PROXIES", "comma separated `list` of addresses and prefixes whose X-Forwarded-For and X-Forwarded-Proto are believed (default loopback)"}
	limitsSetting     = setting{"retention", "RETENTION", "what each room keeps, `limits` such as age=90d,posts=100000 (default everything)"}
	debugSetting      = setting{"debug-socket", "DEBUG_SOCKET", "`path` of a private Unix socket with metrics, health and profiles (default none)"}
	signupSetting     = setting{"signup", "", "who may keep a name: open or closed; $SIGNUP can say code:SECRET as well (default open)"}
	perAddressSetting = setting{"max-per-address", "MAX_PER_ADDRESS", "`number` of WebSockets that one address may have, and of other connections (default 256)"}
	natsURLSetting    = setting{"nats-url", "", "`servers` of NATS when none of them wants a secret: nats://HOST[:PORT][,…]; else use $NATS_URL"}
	natsCreds         = setting{"nats-creds", "NATS_CREDS", "`file` with credentials of a NATS user"}
	natsCA            = setting{"nats-ca", "NATS_CA", "`file` with the certificates of NATS's authorities (default the system's)"}
	natsCert          = setting{"nats-cert", "NATS_CERT", "`file` with a certificate that NATS knows us by"}
	natsKey           = setting{"nats-key", "NATS_KEY", "`file` with the key of that certificate"}
	listenSetting     = setting{"listen", "", "`address` when no supervisor gives one: HOST:PORT, tcp://HOST:PORT or unix:///PATH?mode=0660 (default " + defaultListen + ")"}
)

func addSettings(f *pflag.FlagSet) {
	for _, s := range []setting{dataSetting, originsSetting, trustedSetting, signupSetting, perAddressSetting, limitsSetting, debugSetting, natsURLSetting, natsCreds, natsCA, natsCert, natsKey, listenSetting} {
		usage := s.usage
		if s.env != "" {
			usage += " [$" + s.env + "]"
		}
		f.String(s.flag, "", usage)
	}
}

// value returns what is set, and where.
func (s setting) value(f *pflag.FlagSet) (value, where string) {
	if f.Changed(s.flag) {
		v, _ := f.GetString(s.flag) // it was added as a string
		return v, "--" + s.flag
	}
	if s.env == "" {
		return "", ""
	}
	return os.Getenv(s.env), s.env
}

// readConfig reads all settings and reports every mistake.
func readConfig(f *pflag.FlagSet) (c config, err error) {
	c.data, _ = dataSetting.value(f)
	if c.data == "" {
		c.data = dataDefault()
	}
	c.mongo, err = readMongo()
	var bad error
	c.nats, bad = readNATS(f)
	err = errors.Join(err, bad)
	if err == nil && c.nats.URL != "" && c.mongo == "" {
		err = errors.New("NATS joins hosts on one MongoDB database: set MONGODB_URI too, or take the URL of NATS away")
	}
	v, where := originsSetting.value(f)
	c.origins = split(v)
	err = errors.Join(err, in(where, web.ValidOrigins(c.origins)))
	v, where = trustedSetting.value(f)
	c.trusted, v = nil, strings.TrimSpace(v)
	if v != "" {
		c.trusted, bad = parsePrefixes(split(v))
		err = errors.Join(err, in(where, bad))
	}
	v, where = limitsSetting.value(f)
	c.limits, bad = parseRetention(v)
	err = errors.Join(err, in(where, bad))
	if c.debug, where = debugSetting.value(f); c.debug != "" {
		err = errors.Join(err, in(where, checkDebugSocket(c.debug)))
	}
	c.signup, bad = readSignup(f)
	err = errors.Join(err, bad)
	v, where = perAddressSetting.value(f)
	c.perAddress, bad = parseCount(v)
	err = errors.Join(err, in(where, bad))
	if c.listen, where = listenSetting.value(f); where != "" {
		_, bad := address.Parse(c.listen)
		err = errors.Join(err, in(where, bad))
	}
	return c, err
}

// readSignup returns who may keep a name. A flag shows what it says to everybody
// on the machine, so it takes no code.
func readSignup(f *pflag.FlagSet) (auth.Signup, error) {
	v, where := signupSetting.value(f)
	if where == "" {
		var err error
		if v, where, err = signupSecret.value(); err != nil {
			return auth.Signup{}, err
		}
	} else if v != string(auth.SignupOpen) && v != string(auth.SignupClosed) {
		return auth.Signup{}, in(where, errors.New("must be open or closed: a code belongs into $"+signupSecret.env+", where nobody else can read it"))
	}
	s, err := auth.ParseSignup(v)
	return s, in(where, err)
}

// parseCount reads how many there may be, 0 if that is not said.
func parseCount(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q must be a number from 1 on", s)
	}
	return int(n), nil
}

// readMongo returns the URI of a MongoDB database, "" if there is none.
func readMongo() (string, error) {
	uri, where, err := mongoSecret.value()
	if err == nil && uri != "" {
		err = in(where, mongo.CheckURI(uri))
	}
	return uri, err
}

// readNATS returns how other hosts are reached, no URL if there are none.
func readNATS(f *pflag.FlagSet) (o nats.Options, err error) {
	url, where, err := natsSecret.value()
	if v, flag := natsURLSetting.value(f); flag != "" {
		if nats.HasSecret(v) {
			return o, fmt.Errorf("%s: everybody on this machine can read it, so it must hold no password or token: use NATS_URL instead", flag)
		}
		url, where, err = v, flag, nil
	}
	if err != nil || url == "" {
		return o, err
	}
	o.URL = url
	o.Credentials, _ = natsCreds.value(f)
	o.CA, _ = natsCA.value(f)
	o.Cert, _ = natsCert.value(f)
	o.Key, _ = natsKey.value(f)
	if err := nats.CheckURL(url); err != nil {
		return o, in(where, err)
	}
	_, err = nats.New(o)
	return o, in("NATS", err)
}

// in says where a mistake was made.
func in(where string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", where, err)
}

// dataDefault is systemd's state directory, of which it may name several, or
// one where we are.
func dataDefault() string {
	first, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
	if first != "" {
		return first
	}
	return "data"
}

func split(list string) (parts []string) {
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

func parsePrefixes(list []string) (all []netip.Prefix, err error) {
	for _, s := range list {
		p, bad := netip.ParsePrefix(s)
		if bad != nil {
			var a netip.Addr
			if a, bad = netip.ParseAddr(s); bad == nil {
				a = a.Unmap()
				p, bad = a.Prefix(a.BitLen())
			}
		}
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("%q must be an IP address or a prefix such as 10.0.0.0/8", s))
			continue
		}
		all = append(all, p.Masked())
	}
	return all, err
}
