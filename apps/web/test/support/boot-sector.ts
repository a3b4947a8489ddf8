const SECTOR_BYTES = 512
const DISK_BYTES = 1 << 20
const ORIGIN = 0x7c00

/**
 * A disk that greets on the screen, and then prints each key.
 *
 * Source: IBM PC/AT Technical Reference, "System BIOS", INT 10h function 0Eh and INT 16h function 00h.
 */
export function greetingDisk(text: string): Uint8Array {
  const code = (at: number): number[] => [
    ...[0x31, 0xc0], // xor ax, ax
    ...[0x8e, 0xd8], // mov ds, ax
    ...[0xbe, at & 0xff, at >> 8], // mov si, at
    ...[0xac], // lodsb
    ...[0x84, 0xc0], // test al, al
    ...[0x74, 0x06], // jz keys
    ...[0xb4, 0x0e], // mov ah, 0x0e
    ...[0xcd, 0x10], // int 0x10
    ...[0xeb, 0xf5], // jmp lodsb
    ...[0xb4, 0x00], // keys: mov ah, 0
    ...[0xcd, 0x16], // int 0x16
    ...[0xb4, 0x0e], // mov ah, 0x0e
    ...[0xcd, 0x10], // int 0x10
    ...[0xeb, 0xf6], // jmp keys
  ]
  const disk = new Uint8Array(DISK_BYTES)
  const length = code(0).length
  disk.set(code(ORIGIN + length))
  disk.set(new TextEncoder().encode(text), length)
  disk.set([0x55, 0xaa], SECTOR_BYTES - 2)
  return disk
}
