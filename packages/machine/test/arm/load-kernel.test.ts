import { promisify } from 'node:util'
import { gzipSync, zstdCompressSync, zstdDecompress } from 'node:zlib'
import { ascii, elfImage, join } from '@retrap/tooling/images'
import { describe, expect, test } from 'vitest'
import { type ArmKernelImages, loadArmKernel, VIRT } from '../../src/arm/index.ts'
import { ArmRam } from './arm-ram.ts'

const MIB = 1 << 20
const RAM = VIRT.ram.base
const PT_LOAD = 1
const EM_AARCH64 = 183

interface ImageFields {
  readonly textOffset?: bigint
  readonly imageBytes?: bigint
  readonly flags?: number
  readonly magic?: number
  readonly fileBytes?: number
}

/** An Image of a test: bytes of its own behind the header. */
function image({
  textOffset = 0n,
  imageBytes = 0x3000n,
  flags = 0xa,
  magic = 0x644d_5241,
  fileBytes = 0x1000,
}: ImageFields = {}) {
  const file = new Uint8Array(fileBytes).map((_byte, i) => i & 0xff)
  const view = new DataView(file.buffer)
  view.setBigUint64(0x08, textOffset, true)
  view.setBigUint64(0x10, imageBytes, true)
  view.setUint32(0x18, flags, true)
  view.setUint32(0x38, magic, true)
  return file
}

/** An EFI image that decompresses itself (Linux, zboot-header.S). */
function zboot(
  method: string,
  payload: Uint8Array,
  { sizeBehind = 0, payloadBytes = payload.length } = {},
): Uint8Array {
  const header = new Uint8Array(0x200)
  const view = new DataView(header.buffer)
  header.set(ascii('MZ\0\0zimg'))
  view.setUint32(8, header.length, true)
  view.setUint32(12, payloadBytes, true)
  header.set(ascii(method), 0x18)
  const size = new Uint8Array(4)
  new DataView(size.buffer).setUint32(0, sizeBehind, true)
  return sizeBehind > 0 ? join(header, payload, size) : join(header, payload)
}

const tree = Uint8Array.of(0xd0, 0x0d, 0xfe, 0xed)
const unzstd = async (data: Uint8Array): Promise<Uint8Array> => promisify(zstdDecompress)(data)
const load = (kernel: Uint8Array, more: Partial<ArmKernelImages> = {}, ram = new ArmRam(16)) =>
  loadArmKernel(ram, { kernel, deviceTree: () => tree, ...more })

describe('an Image (Linux, booting.rst)', () => {
  test('lies at its offset in RAM, the tree in the 2 MiB behind it, the initrd behind that', async () => {
    const ram = new ArmRam(16)
    const initrd = ascii('initrd')
    const told: unknown[] = []
    const kernel = image({ textOffset: 0x8_0000n, imageBytes: 0x20_0001n })
    const deviceTree = (range: unknown): Uint8Array => (told.push(range), tree)
    const loaded = await load(kernel, { initrd, deviceTree }, ram)
    expect(loaded).toEqual({
      protocol: 'linux',
      state: { x: [RAM + 4 * MIB, 0, 0, 0], pc: RAM + 0x8_0000, pstate: 0x3c5 },
      kernelStart: RAM + 0x8_0000,
      kernelEnd: RAM + 0x28_0001,
      deviceTree: { gpa: RAM + 4 * MIB, bytes: 4 },
      initrd: { gpa: RAM + 6 * MIB, bytes: 6 },
    })
    expect(told).toEqual([loaded.initrd])
    expect(ram.at(loaded.kernelStart, kernel.length)).toEqual(kernel)
    // What the kernel needs behind its file is clear, and nothing else was touched.
    expect(ram.at(loaded.kernelStart + kernel.length, 0x20_0001 - kernel.length).every((byte) => byte === 0)).toBe(true)
    expect([...ram.at(loaded.kernelEnd, 1), ...ram.at(RAM, 1)]).toEqual([0xcc, 0xcc])
    expect(ram.at(loaded.deviceTree.gpa, 5)).toEqual(Uint8Array.of(...tree, 0xcc))
    expect(ram.at(loaded.initrd!.gpa, 7)).toEqual(Uint8Array.of(...initrd, 0xcc))
  })

  test('without an initrd the tree says so', async () => {
    const told: unknown[] = []
    const deviceTree = (range: unknown): Uint8Array => (told.push(range), tree)
    expect((await load(image(), { deviceTree })).initrd).toBe(null)
    await load(image(), { deviceTree, initrd: new Uint8Array(0) })
    expect(told).toEqual([undefined, undefined])
  })

  test('one without a size is of before Linux 3.17', async () => {
    const loaded = await load(image({ imageBytes: 0n, textOffset: 0x1234n }))
    expect([loaded.kernelStart, loaded.kernelEnd]).toEqual([RAM + 0x8_0000, RAM + 0x8_1000])
  })

  test.each([
    { given: 'a big-endian kernel', kernel: image({ flags: 0xb }), message: 'flags: 0xb, expected bit 0 clear' },
    {
      given: 'an offset of 2 MiB',
      kernel: image({ textOffset: 0x20_0000n }),
      message: 'text_offset: 0x200000, expected less than 0x200000',
    },
    {
      given: 'less memory than file',
      kernel: image({ imageBytes: 0xfffn }),
      message: 'image_size: 0xfff, expected at least',
    },
    {
      given: 'a kernel larger than RAM',
      kernel: image({ imageBytes: 0x100_0001n }),
      message: 'image_size: 16777217 bytes',
    },
    {
      given: 'a size of 2^63',
      kernel: image({ imageBytes: 1n << 63n }),
      message: 'image_size: 9223372036854776000 bytes',
    },
    {
      given: 'another magic number',
      kernel: image({ magic: 0 }),
      message:
        'kernel: a file of 4096 bytes of no known format, expected an arm64 Image, which has 41 52 4d 64 ("ARMd") at ' +
        'byte 0x38 and may be compressed, or an ELF file for AArch64; link flat code as ELF',
    },
    { given: 'a short file', kernel: new Uint8Array(63), message: 'kernel: a file of 63 bytes of no known format' },
    { given: 'nothing', kernel: new Uint8Array(0), message: 'kernel: a file of 0 bytes' },
  ])('$given is refused', async ({ kernel, message }) => {
    await expect(load(kernel)).rejects.toThrow(message)
  })

  test('what has no room is named', async () => {
    const kernel = image({ imageBytes: BigInt(12 * MIB) })
    await expect(load(kernel, { initrd: new Uint8Array(2 * MIB + 1) })).rejects.toThrow(
      'initrd size: 2097153 bytes at 0x40e00000',
    )
    expect((await load(kernel, { initrd: new Uint8Array(2 * MIB) })).initrd!.gpa).toBe(RAM + 14 * MIB)
    await expect(load(image({ imageBytes: BigInt(16 * MIB) }))).rejects.toThrow('device tree: 4 bytes at 0x41000000')
    const treeOf = (bytes: number) => ({ deviceTree: () => new Uint8Array(bytes) })
    expect((await load(image(), treeOf(2 * MIB))).deviceTree.bytes).toBe(2 * MIB)
    await expect(load(image(), treeOf(2 * MIB + 1))).rejects.toThrow(
      'device tree: 2097153 bytes, expected at most 2097152',
    )
  })
})

describe('a compressed Image', () => {
  const kernel = image()
  const zstd = zstdCompressSync(kernel)

  test.each([
    { given: 'gzip', file: gzipSync(kernel) },
    { given: 'gzip, and bytes that follow', file: join(gzipSync(kernel), new Uint8Array(7).fill(1)) },
    { given: 'an EFI image with gzip', file: zboot('gzip\0', gzipSync(kernel)) },
    { given: 'an EFI image with zstd', file: zboot('zstd22\0', zstd, { sizeBehind: kernel.length }) },
  ])('$given', async ({ file }) => {
    const ram = new ArmRam(16)
    const loaded = await load(file, { unzstd }, ram)
    expect(ram.at(loaded.kernelStart, kernel.length)).toEqual(kernel)
  })

  test.each([
    {
      given: 'an unknown method',
      file: zboot('lzma\0', kernel),
      message: 'compression type: lzma, expected gzip or zstd',
    },
    { given: 'a method without an end', file: zboot('x'.repeat(32), kernel), message: 'compression type: ' },
    {
      given: 'a payload behind the end',
      file: zboot('gzip\0', kernel, { payloadBytes: kernel.length + 1 }),
      message: 'payload_size: 4097 bytes at 0x200, expected bytes inside the file',
    },
    {
      given: 'zstd without a size',
      file: zboot('zstd22\0', zstd),
      message: `payload_size: 0x${zstd.length.toString(16)}, expected the size of the kernel behind the payload`,
    },
    {
      given: 'zstd of more than RAM',
      file: zboot('zstd22\0', zstd, { sizeBehind: 16 * MIB + 1 }),
      message: 'kernel: more than 16777216 bytes, expected a kernel that fits into RAM',
    },
    {
      given: 'gzip of more than RAM',
      file: gzipSync(new Uint8Array(16 * MIB + 1)),
      message: 'kernel: more than 16777216 bytes',
    },
    { given: 'gzip of no kernel', file: gzipSync(new Uint8Array(100)), message: 'kernel: 100 decompressed bytes' },
    {
      given: 'gzip that is cut off',
      file: gzipSync(kernel).subarray(0, 30),
      message: 'decompressed bytes, expected an arm64 Image, which has 41 52 4d 64',
    },
  ])('$given is refused', async ({ file, message }) => {
    await expect(load(file, { unzstd })).rejects.toThrow(message)
  })

  test('a host without zstd says so', async () => {
    const file = zboot('zstd22\0', zstd, { sizeBehind: kernel.length })
    await expect(load(file)).rejects.toThrow('compression type: zstd22, expected gzip: this host has no zstd')
  })
})

describe('an ELF file', () => {
  const code = Uint8Array.of(1, 2, 3, 4)
  const segment = (physicalAddress: number) => ({
    type: PT_LOAD,
    virtualAddress: 0x1000,
    physicalAddress,
    bytes: code,
    memoryBytes: 0x20_0000,
  })
  const elf = (entry: number, physicalAddress: number, machine = EM_AARCH64): Uint8Array => {
    const file = elfImage(64, entry, [segment(physicalAddress)])
    new DataView(file.buffer).setUint16(18, machine, true)
    return file
  }

  test('is entered at the physical address of its entry, with the tree behind it', async () => {
    const ram = new ArmRam(16)
    const loaded = await load(elf(0x1004, RAM + MIB), {}, ram)
    expect([loaded.protocol, loaded.state.pc, loaded.state.x[0]]).toEqual(['elf', RAM + MIB + 4, RAM + 4 * MIB])
    expect(ram.at(RAM + MIB, 5)).toEqual(Uint8Array.of(...code, 0))
  })

  test.each([
    { given: 'of another processor', file: elf(0x1000, RAM, 62), message: 'e_machine: 0x3e, expected 0xb7 (AArch64)' },
    { given: 'outside RAM', file: elf(0x1000, 0), message: 'p_paddr of an ELF segment' },
    {
      given: 'with an entry elsewhere',
      file: elf(0x20_1000, RAM),
      message: 'e_entry: 0x201000, expected an address in',
    },
  ])('$given is refused', async ({ file, message }) => {
    await expect(load(file)).rejects.toThrow(message)
  })
})
