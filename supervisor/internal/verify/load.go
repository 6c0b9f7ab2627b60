package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
)

// Load is what of `app load --json` the trial tells.
type Load struct {
	Disconnects int   `json:"disconnects"`
	Broken      int   `json:"broken"`
	Sent        int64 `json:"sent"`
	Received    int64 `json:"received"`
	Lost        int64 `json:"lost"`
	Duplicated  int64 `json:"duplicated"`
	Reordered   int64 `json:"reordered"`
	HTTPOK      int64 `json:"http_ok"`
	HTTPFailed  int64 `json:"http_failed"`
	LatencyMS   struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"latency_ms"`
	Timeline []struct {
		Gen          int     `json:"gen"`
		SilenceP99MS float64 `json:"silence_p99_ms"`
		SilenceMaxMS float64 `json:"silence_max_ms"`
	} `json:"timeline"`
}

// load is a running `app load`.
type load struct{ process *process }

func startLoad(o Options, addr string) (load, error) {
	p, err := startProcess(o.App, "load", "--json", "--url", "http://"+addr,
		"--clients", strconv.Itoa(o.Clients), "--chatters", strconv.Itoa(min(chatters, o.Clients)),
		"--rate", strconv.FormatFloat(o.Rate, 'f', -1, 64), "--rooms", strconv.Itoa(min(rooms, o.Clients)),
		"--for", (o.For / 2).String())
	return load{p}, err
}

// report waits for the end of the load and reads what it found. Its exit code
// says no more than its figures do.
func (l load) report(ctx context.Context) (Load, error) {
	select {
	case <-l.process.ended:
	case <-ctx.Done():
		return Load{}, context.Cause(ctx)
	}
	var r Load
	if err := json.Unmarshal(l.process.stdout.Bytes(), &r); err != nil {
		return r, fmt.Errorf("the load reported nothing: %s", l.process.lastLine())
	}
	return r, nil
}

// complaint is why the load has ended already, if it has.
func (l load) complaint() error {
	select {
	case <-l.process.ended:
		return fmt.Errorf("the load ended: %s", l.process.lastLine())
	default:
		return nil
	}
}
