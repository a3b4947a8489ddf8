/**
 * What a dropped file is for. Sources: Linux, Documentation/arch/x86/boot.rst and arm64/booting.rst; System V ABI; Multiboot
 * Specification, 3.1.1; ECMA-119, 8.1.2; RFC 1952; RFC 8878; the xz file format, 2.1.1.1; cpio(5).
 */
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { examine } from '../src/image-kind.ts'

type Parts = readonly (readonly [at: number, bytes: string | readonly number[]])[]

/** A file's contents with bytes at places of it; a negative place counts from its end. */
function bytesOf(size: number, ...parts: Parts): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size).fill(0xf6)
  for (const [at, given] of parts)
    bytes.set(typeof given === 'string' ? Buffer.from(given, 'latin1') : given, at < 0 ? size + at : at)
  return bytes
}
const fileOf = (size: number, ...parts: Parts): File => new File([bytesOf(size, ...parts)], 'it')
const packed = (bytes: Uint8Array, name: string): File => new File([new Uint8Array(gzipSync(bytes))], name)
const word = (value: number): number[] => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24]
const multiboot = (flags: number, sum = -(0x1bad_b002 + flags)): number[] =>
  [0x1bad_b002, flags, sum].flatMap((each) => word(each >>> 0))
const MIB = 1 << 20

describe('a file by its contents', () => {
  test.each([
    ['an arm64 image', fileOf(0x1000, [0x38, 'ARMd']), 'kernel'],
    ['a compressed arm64 image', fileOf(0x1000, [4, 'zimg']), 'kernel'],
    ['a bzImage', fileOf(0x1000, [0x202, 'HdrS']), 'kernel'],
    ['a bzImage, its mark a byte off', fileOf(0x1000, [0x203, 'HdrS']), 'disk'],
    ['an ELF file', fileOf(0x1000, [0, '\u007fELF']), 'kernel'],
    ['an ELF file, not at its beginning', fileOf(0x1000, [1, '\u007fELF']), 'disk'],
    ['a Multiboot header at the beginning', fileOf(0x1000, [0, multiboot(0x1_0003)]), 'kernel'],
    ['a Multiboot header at the last place', fileOf(0x4000, [8180, multiboot(0)]), 'kernel'],
    ['a Multiboot header behind it', fileOf(0x4000, [8184, multiboot(0)]), 'disk'],
    ['a Multiboot header that is not aligned', fileOf(0x4000, [2, multiboot(0)]), 'disk'],
    ['a Multiboot header with a wrong sum', fileOf(0x4000, [8, multiboot(3, 1)]), 'disk'],
    [
      'a second Multiboot header, the first one wrong',
      fileOf(0x4000, [8, multiboot(3, 1)], [64, multiboot(3)]),
      'kernel',
    ],
    ['a short file that ends in a Multiboot header', fileOf(12, [0, multiboot(0)]), 'kernel'],
    ['a CD', fileOf(0x9000, [0x8001, 'CD001']), 'cdrom'],
    ['a CD, its mark a byte off', fileOf(0x9000, [0x8000, 'CD001']), 'disk'],
    ['the run of a cluster', fileOf(0x1000, [0, 'run.json\0'], [257, 'ustar']), 'cluster'],
    ['qcow2', fileOf(0x1000, [0, 'QFI\u00fb']), 'disk'],
    ['qcow2 that ends as firmware does', fileOf(0x1_0000, [0, 'QFI\u00fb'], [-16, [0xea]]), 'disk'],
    ['a floppy disk of 1.44 MB', fileOf(1440 * 1024), 'floppy'],
    ['one of 360 KB', fileOf(360 * 1024), 'floppy'],
    ['what is a sector longer', fileOf(1440 * 1024 + 512), 'disk'],
    ['cpio, by gzip', packed(bytesOf(0x1000, [0, '070701']), 'initrd.img.gz'), 'initrd'],
    ['zstd', fileOf(0x1000, [0, [0x28, 0xb5, 0x2f, 0xfd]]), 'initrd'],
    ['xz', fileOf(0x1000, [0, [0xfd, 0x37, 0x7a, 0x58, 0x5a]]), 'initrd'],
    ['cpio', fileOf(0x1000, [0, '070701']), 'initrd'],
    ['an option ROM', fileOf(0x8000, [0, [0x55, 0xaa]]), 'vgaBios'],
    ['the largest option ROM', fileOf(1 << 17, [0, [0x55, 0xaa]]), 'vgaBios'],
    ['what begins as one, and is larger', fileOf((1 << 17) + 512, [0, [0x55, 0xaa]]), 'disk'],
    ['firmware: JMP far', fileOf(0x1_0000, [-16, [0xea]]), 'firmware'],
    ['firmware: JMP near', fileOf(0x2_0000, [-16, [0xe9]]), 'firmware'],
    ['firmware: JMP short', fileOf(0x4_0000, [-16, [0xeb]]), 'firmware'],
    ['firmware: NOP', fileOf(0x4_0000, [-16, [0x90]]), 'firmware'],
    ['firmware that ends with another instruction', fileOf(0x4_0000, [-16, [0xe8]]), 'disk'],
    ['firmware of no whole 64 KiB', fileOf(0x1_8000, [-16, [0xea]]), 'disk'],
    ['the largest firmware', fileOf(8 * MIB, [-16, [0xea]]), 'firmware'],
    ['larger firmware', fileOf(8 * MIB + 0x1_0000, [-16, [0xea]]), 'disk'],
    ['zeros', new File([new Uint8Array(0x1_0000)], 'zeros'), 'disk'],
  ] as const)('%s', async (_, file, role) => expect(await examine(file)).toEqual({ role, source: file }))

  test.each([
    ['a CD', bytesOf(0x9000, [0x8001, 'CD001']), 'debian.iso', 'cdrom'],
    ['a disk', bytesOf(0x2_0000), 'disk.img', 'disk'],
    ['an arm64 image', bytesOf(0x1000, [0x38, 'ARMd']), 'Image', 'kernel'],
  ] as const)('%s is unpacked that gzip has packed', async (_, bytes, name, role) => {
    const found = await examine(packed(bytes, `${name}.gz`))
    expect(found).toMatchObject({ role, source: { name, size: bytes.length } })
  })

  test.each([
    ['nothing', new File([], 'it'), 'empty'],
    ['a PDF document', fileOf(0x1000, [0, '%PDF-1.7']), 'a PDF document'],
    ['a zip archive', fileOf(0x1_0000, [0, 'PK\u0003\u0004'], [-16, [0xea]]), 'a zip archive: unpack it first'],
    ['a picture', fileOf(1440 * 1024, [0, '\u0089PNG']), 'a picture'],
    ['a text', new File(['Übung\r\n\tmacht\n'.repeat(9000)], 'it'), 'a text'],
    ['a packed text', packed(Buffer.from('notes\n'), 'it.gz'), 'a text'],
    ['a damaged gzip file', fileOf(0x1000, [0, [0x1f, 0x8b]]), 'damaged: gzip cannot unpack it'],
  ] as const)('%s is refused by its name', async (_, file, what) =>
    expect(await examine(file)).toEqual({ refused: `it is ${what}.` }),
  )

  test('a CD that xz has packed is refused: this page cannot unpack it', async () => {
    const file = new File([fileOf(0x1000, [0, [0xfd, 0x37, 0x7a, 0x58, 0x5a]])], 'debian.iso.xz')
    expect(await examine(file)).toEqual({ refused: 'debian.iso.xz is compressed: unpack it first.' })
  })
})
