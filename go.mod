module github.com/simpletalk/simpletalk

go 1.26
