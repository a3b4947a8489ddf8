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

const CD_SECTOR_BYTES = 2048
/** Sectors of the CD: descriptors begin at 16. */
const [PRIMARY, BOOT_RECORD, LAST_DESCRIPTOR, CATALOG, IMAGE] = [16, 17, 18, 19, 20]

/**
 * A CD that is started like {@link greetingDisk}.
 *
 * Source: ECMA-119, 8, "Volume Descriptors"; "El Torito" Bootable CD-ROM Format Specification 1.0, 2, "Booting Catalog".
 */
export function greetingCd(text: string): Uint8Array {
  const cd = new Uint8Array(64 * CD_SECTOR_BYTES)
  const view = new DataView(cd.buffer)
  const descriptor = (sector: number, type: number): number => {
    const at = sector * CD_SECTOR_BYTES
    cd.set([type, ...new TextEncoder().encode('CD001'), 1], at)
    return at
  }
  descriptor(PRIMARY, 1)
  descriptor(LAST_DESCRIPTOR, 255)
  const record = descriptor(BOOT_RECORD, 0)
  cd.set(new TextEncoder().encode('EL TORITO SPECIFICATION'), record + 7)
  view.setUint32(record + 0x47, CATALOG, true)
  const catalog = CATALOG * CD_SECTOR_BYTES
  // The validation entry, whose words sum to 0; then the initial entry: bootable, no emulation, 4 sectors of 512 bytes.
  cd.set([1, 0], catalog)
  cd.set([0x55, 0xaa], catalog + 30)
  view.setUint16(catalog + 28, 0x1_0000 - 0xaa55 - 1, true)
  cd.set([0x88, 0], catalog + 32)
  view.setUint16(catalog + 38, 4, true)
  view.setUint32(catalog + 40, IMAGE, true)
  cd.set(greetingDisk(text).subarray(0, CD_SECTOR_BYTES), IMAGE * CD_SECTOR_BYTES)
  return cd
}
