const IMAGE_BYTES = 0x1_0000
const RESET = 0xfff0

/** A firmware image of 64 KiB whose 16-bit code starts at its beginning. */
function firmware(code: readonly number[]): Uint8Array {
  const image = new Uint8Array(IMAGE_BYTES)
  image.set(code)
  // jmp 0
  image.set([0xe9, 0x0d, 0x00], RESET)
  return image
}

/** Computes for ever. */
export const computingGuest = (): Uint8Array =>
  firmware([
    ...[0x66, 0xb9, 0x00, 0x00, 0x00, 0x10], // mov ecx, 0x10000000
    ...[0x66, 0x43], // inc ebx
    ...[0x66, 0x01, 0xd8], // add eax, ebx
    ...[0x66, 0x31, 0xc2], // xor edx, eax
    ...[0x66, 0x49], // dec ecx
    ...[0x75, 0xf4], // jnz inc
    ...[0xeb, 0xec], // jmp mov
  ])

const low = (value: number): number[] => [value & 0xff, value >> 8]
/** Writes a register of the graphics card. Source: QEMU, docs/specs/standard-vga.rst, and Bochs, VBE DISPI interface. */
const setDispi = (index: number, value: number): number[] => [
  ...[0xba, 0xce, 0x01, 0xb8, ...low(index), 0xef], // mov dx, 0x1ce; mov ax, index; out dx, ax
  ...[0xba, 0xd0, 0x01, 0xb8, ...low(value), 0xef], // mov dx, 0x1d0; mov ax, value; out dx, ax
]

/** Fills a screen of 1024×768 with another colour, again and again. */
export const redrawingGuest = (): Uint8Array =>
  firmware([
    ...[...setDispi(1, 1024), ...setDispi(2, 768), ...setDispi(3, 8), ...setDispi(4, 1)],
    ...[0xb8, 0x00, 0xa0, 0x8e, 0xc0], // mov ax, 0xa000; mov es, ax
    ...[0xba, 0xc0, 0x03, 0xb0, 0x20, 0xee], // mov dx, 0x3c0; mov al, 0x20; out dx, al: the palette is the screen's
    ...[0x31, 0xdb], // frame: xor bx, bx
    ...[0xba, 0xce, 0x01, 0xb8, 0x05, 0x00, 0xef], // bank: mov dx, 0x1ce; mov ax, 5; out dx, ax
    ...[0xba, 0xd0, 0x01, 0x89, 0xd8, 0xef], // mov dx, 0x1d0; mov ax, bx; out dx, ax
    ...[0x31, 0xff, 0xb9, 0x00, 0x40], // xor di, di; mov cx, 0x4000
    ...[0x66, 0x89, 0xf0, 0xf3, 0x66, 0xab], // mov eax, esi; rep stosd
    ...[0x43, 0x83, 0xfb, 0x0c, 0x75, 0xe2], // inc bx; cmp bx, 12; jne bank
    ...[0x66, 0x81, 0xc6, 0x01, 0x01, 0x01, 0x01], // add esi, 0x01010101
    ...[0xeb, 0xd7], // jmp frame
  ])
