const IMAGE_BYTES = 0x1_0000
const RESET = 0xfff0

/** `mov dx, port; mov al, value; out dx, al`. */
const out = (port: number, value: number): number[] => [0xba, port & 0xff, port >> 8, 0xb0, value, 0xee]

/** Writes a register of the graphics card: `mov dx, …; mov ax, …; out dx, ax`, for its number and for its value. */
const card = (register: number, value: number): number[] => [
  ...[0xba, 0xce, 0x01, 0xb8, register, 0, 0xef],
  ...[0xba, 0xd0, 0x01, 0xb8, value & 0xff, value >> 8, 0xef],
]

/**
 * Firmware with a picture of 320×240 that prints at its serial port what it is sent: bytes of the keyboard, of scan code set 1, as
 * `1e `, and of the mouse as `m09 `.
 *
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller".
 */
export function inputGuest(): Uint8Array<ArrayBuffer> {
  const code = [
    // Eight data bits.
    ...out(0x3fb, 3),
    ...[...card(1, 320), ...card(2, 240), ...card(3, 8), ...card(4, 1), ...out(0x3c0, 0x20)],
    // The keyboard is translated to set 1, and scans; the mouse is there, and reports.
    ...[...out(0x64, 0x60), ...out(0x60, 0x40), ...out(0x60, 0xf4)],
    ...[...out(0x64, 0xa8), ...out(0x64, 0xd4), ...out(0x60, 0xf4)],
    ...[0xe4, 0x64], // next: in al, 0x64
    ...[0xa8, 0x01], // test al, 1
    ...[0x74, 0xfa], // jz next
    ...[0xa8, 0x20], // test al, 0x20
    ...[0x74, 0x05], // jz byte
    ...[0xb0, 0x6d], // mov al, 'm'
    ...[0xe8, 0x20, 0x00], // call print
    ...[0xe4, 0x60], // byte: in al, 0x60
    ...[0x88, 0xc4], // mov ah, al
    ...[0xc0, 0xe8, 0x04], // shr al, 4
    ...[0xe8, 0x0e, 0x00], // call digit
    ...[0x88, 0xe0], // mov al, ah
    ...[0x24, 0x0f], // and al, 15
    ...[0xe8, 0x07, 0x00], // call digit
    ...[0xb0, 0x20], // mov al, ' '
    ...[0xe8, 0x0a, 0x00], // call print
    ...[0xeb, 0xd9], // jmp next
    ...[0x3c, 0x0a], // digit: cmp al, 10
    ...[0x72, 0x02], // jb decimal
    ...[0x04, 0x27], // add al, 'a' - '0' - 10
    ...[0x04, 0x30], // decimal: add al, '0'
    ...[0xba, 0xf8, 0x03], // print: mov dx, 0x3f8
    ...[0xee, 0xc3], // out dx, al; ret
  ]
  const image = new Uint8Array(IMAGE_BYTES)
  image.set(code)
  const jump = (0x1_0000 - RESET - 3) & 0xffff
  image.set([0xe9, jump & 0xff, jump >> 8], RESET)
  return image
}
