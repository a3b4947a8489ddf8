; A kernel that asks for a name, and greets.
; Every player has 3 lives. A name has room for 8 letters.
; print, put and get are there: a text at ESI, the character in AL.

main:
        mov esi, question
        call print
        mov ecx, 0              ; letters so far
read:
        call get
        cmp al, 13              ; Enter
        je greet
        cmp al, 10
        je greet
        call put
        cmp ecx, 8              ; is there room?
        ja read
        mov [ecx + name], al
        inc ecx
        jmp read

greet:
        mov esi, hello
        call print
        mov edi, 0
letter:
        cmp edi, ecx
        je count
        mov al, [edi + name]
        call put
        inc edi
        jmp letter
count:
        mov esi, left
        call print
        mov al, [lives]
        call put
        jmp main

question:
        db 13, 10, "Name? ", 0
hello:
        db 13, 10, "Hello, ", 0
left:
        db 13, 10, "Lives: ", 0
name:
        db "........"
lives:
        db "3"
