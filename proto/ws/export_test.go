package ws

// RunExample makes f what this test binary does as a worker.
func RunExample(f func()) { exampleServer = f }
