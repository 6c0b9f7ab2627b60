package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// writeCredentials makes an operator, an account and a user. The directory then
// has user.creds, and operator.conf, which a server's configuration includes.
func writeCredentials(dir string) error {
	operator, err := nkeys.CreateOperator()
	if err != nil {
		return err
	}
	account, err := nkeys.CreateAccount()
	if err != nil {
		return err
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		return err
	}
	operatorClaims := jwt.NewOperatorClaims(public(operator))
	operatorJWT, err := operatorClaims.Encode(operator)
	if err != nil {
		return err
	}
	accountJWT, err := jwt.NewAccountClaims(public(account)).Encode(operator)
	if err != nil {
		return err
	}
	userJWT, err := jwt.NewUserClaims(public(user)).Encode(account)
	if err != nil {
		return err
	}
	seed, err := user.Seed()
	if err != nil {
		return err
	}
	creds, err := jwt.FormatUserConfig(userJWT, seed)
	if err != nil {
		return err
	}
	conf := fmt.Sprintf("operator: %q\nresolver: MEMORY\nresolver_preload: { %s: %q }\n", operatorJWT, public(account), accountJWT)
	if err := os.WriteFile(filepath.Join(dir, "operator.conf"), []byte(conf), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "user.creds"), creds, 0o600)
}

func public(k nkeys.KeyPair) string {
	p, err := k.PublicKey()
	if err != nil {
		panic("natsserver: a key without its public half: " + err.Error()) // it was just made
	}
	return p
}
