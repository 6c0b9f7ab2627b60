//go:build linux

package main

import (
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestOnlyWhatStaysDeadIsAnOrphan(t *testing.T) {
	orphans, next := overdue(nil, []int{7, 8})
	if len(orphans) > 0 {
		t.Errorf("at the first look: %v", orphans)
	}
	orphans, next = overdue(next, []int{8, 9}) // 7 was waited for
	if !slices.Equal(orphans, []int{8}) {
		t.Errorf("at the second look: %v, want 8", orphans)
	}
	if orphans, _ = overdue(next, []int{8}); len(orphans) > 0 {
		t.Errorf("a pid that is used again: %v", orphans)
	}
}

func TestDeadChildrenAreFound(t *testing.T) {
	c := exec.Command("true")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); !slices.Contains(deadChildren(), c.Process.Pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a dead child is not found")
		}
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	if slices.Contains(deadChildren(), c.Process.Pid) {
		t.Error("it was waited for, and is found")
	}
}
