package shm

func pause()
