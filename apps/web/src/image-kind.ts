import type { Role } from './settings.ts'

/** Bytes of a file's beginning that tell what it is: a CD says so behind its first 32 KiB. */
const HEAD_BYTES = 0x8800
const MULTIBOOT_BYTES = 8192
const MOST_FIRMWARE_BYTES = 8 << 20

/** Sizes of floppy disks, 5¼″ and 3½″. Source: ECMA-99, ECMA-100, ECMA-125 and what PCs made of them. */
const FLOPPY_KIB = [160, 180, 320, 360, 720, 1200, 1440, 2880]

/** Guesses what a file is for, by its contents. */
export async function guessRole(file: Blob): Promise<Role> {
  const head = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer())
  const end = new Uint8Array(await file.slice(-16).arrayBuffer())
  return roleOf(head, end, file.size)
}

/**
 * Guesses what a file is for.
 *
 * Source: Linux, Documentation/arch/x86/boot.rst, "HdrS", and Documentation/arch/arm64/booting.rst; System V ABI, ELF header; Multiboot Specification, 3.1.1; ECMA-119,
 * 8.1.2, "Standard Identifier"; RFC 1952 and RFC 8878 for compressed files, cpio(5).
 *
 * @param head - its beginning
 * @param end - its last 16 bytes
 */
export function roleOf(head: Uint8Array, end: Uint8Array, bytes: number): Role {
  const is = (at: number, ...values: readonly number[]): boolean => values.every((value, i) => head[at + i] === value)
  const text = (at: number, expected: string): boolean =>
    is(at, ...[...expected].map((character) => character.charCodeAt(0)))
  if (
    text(0x38, 'ARMd') ||
    text(4, 'zimg') ||
    text(0x202, 'HdrS') ||
    is(0, 0x7f, 0x45, 0x4c, 0x46) ||
    hasMultiboot(head)
  )
    return 'kernel'
  if (text(0x8001, 'CD001')) return 'cdrom'
  if (text(0, 'QFI\u00fb')) return 'disk'
  if (is(0, 0x1f, 0x8b) || is(0, 0x28, 0xb5, 0x2f, 0xfd) || is(0, 0xfd, 0x37, 0x7a, 0x58, 0x5a) || text(0, '070701'))
    return 'initrd'
  // An option ROM names its length in units of 512 bytes.
  if (is(0, 0x55, 0xaa) && bytes <= 1 << 17) return 'vgaBios'
  // Firmware ends with a jump from where the processor starts.
  if (bytes % 0x1_0000 === 0 && bytes <= MOST_FIRMWARE_BYTES && [0xea, 0xe9, 0xeb, 0x90].includes(end[0] ?? 0))
    return 'firmware'
  return FLOPPY_KIB.some((kib) => kib * 1024 === bytes) ? 'floppy' : 'disk'
}

function hasMultiboot(head: Uint8Array): boolean {
  const view = new DataView(head.buffer, head.byteOffset, head.length)
  for (let at = 0; at + 12 <= Math.min(head.length, MULTIBOOT_BYTES); at += 4) {
    if (view.getUint32(at, true) !== 0x1bad_b002) continue
    if ((view.getUint32(at + 4, true) + view.getUint32(at + 8, true) + 0x1bad_b002) >>> 0 === 0) return true
  }
  return false
}
