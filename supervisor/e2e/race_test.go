//go:build race

package e2e

// raceBuild tells whether the programs under test are built with the race
// detector, as the tests themselves are.
const raceBuild = true
