module github.com/seed-4e121ece/ringfence

go 1.26
