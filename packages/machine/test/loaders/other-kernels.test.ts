import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as loaders from '../../src/loaders/index.ts'
import { kernelForFirmware } from '../../src/loaders/firmware-kernel.ts'
import { GuestRam } from './guest-ram.ts'
import { ascii, elfImage, join, multibootHeader, note, words, type ElfPart, linuxImage } from '@retrap/tooling/images'

const MIB = 1 << 20
const code = ascii('some code of the kernel')
const load: ElfPart = { type: 1, virtualAddress: 0xc010_0000, physicalAddress: MIB, bytes: code, memoryBytes: 10_000 }
const entryNote: ElfPart = {
  type: 4,
  bytes: join(note('GNU', 18, words(7)), note('Xen', 5, words(1)), note('Xen', 18, words(MIB + 8))),
}

describe('PVH (Xen, pvh.pandoc)', () => {
  // QEMU's pvh.bin finds the ELF header there, and takes no more than this of the file.
  test('firmware gets the first 8192 bytes of the file as the setup', () => {
    const kernel = elfImage(32, 0xc010_0000, [{ ...load, bytes: new Uint8Array(9000).fill(7) }, entryNote])
    const { keys } = kernelForFirmware({ kernel }, loaders.pcMemoryMap(16 * MIB))
    const items = new Map(keys)
    const [SIZE, DATA] = [0x17, 0x18]
    expect(new DataView(items.get(SIZE)!.buffer).getUint32(0, true)).toBe(8192)
    expect(items.get(DATA)).toEqual(kernel.subarray(0, 8192))
  })

  test.each([32, 64] as const)('an ELF%d kernel with modules, command line and memory map', (bits) => {
    const ram = new GuestRam(16)
    const kernel = elfImage(bits, 0xc010_0000, [load, entryNote])
    const loaded = loaders.loadPvh(ram, {
      kernel,
      modules: [{ bytes: ascii('first'), commandLine: 'one' }, { bytes: new Uint8Array(5000) }],
      commandLine: 'quiet',
      rsdpAddress: 0xe_0000,
    })
    expect(loaded).toMatchObject({ protocol: 'pvh', kernelStart: MIB, kernelEnd: MIB + 10_000 })
    expect(ram.text(MIB)).toBe('some code of the kernel')
    expect(ram.bytes.subarray(MIB + code.length, MIB + 10_000).every((b) => b === 0)).toBe(true)
    const { state } = loaded
    expect([state.mode, state.cr0 & 0x8000_0001, state.cr4, state.registers.rip]).toEqual(['protected', 1, 0, MIB + 8])
    const info = state.registers.rbx
    expect([ram.u32(info), ram.u32(info + 4), ram.u32(info + 8), ram.u32(info + 12)]).toEqual([0x336e_c578, 1, 0, 2])
    expect([ram.text(ram.u64(info + 24)), ram.u64(info + 32)]).toEqual(['quiet', 0xe_0000])
    const modlist = ram.u64(info + 16)
    expect([
      ram.text(ram.u64(modlist + 16)),
      ram.u64(modlist + 8),
      ram.u64(modlist + 40),
      ram.u64(modlist + 48),
    ]).toEqual(['one', 5, 5000, 0])
    expect(ram.u64(modlist) % 4096).toBe(0)
    expect(ram.u64(modlist)).toBe(loaded.initrdStart)
    expect(ram.text(ram.u64(modlist)).slice(0, 5)).toBe('first')
    const memmap = ram.u64(info + 40)
    expect(ram.u32(info + 48)).toBe(ram.e820.length)
    ram.e820.forEach((entry, i) =>
      expect([ram.u64(memmap + 24 * i), ram.u64(memmap + 24 * i + 8), ram.u32(memmap + 24 * i + 16)]).toEqual([
        entry.gpa,
        entry.bytes,
        entry.type,
      ]),
    )
  })

  test('an 8-byte entry note is taken too', () => {
    const kernel = elfImage(64, 0, [load, { type: 4, bytes: note('Xen', 18, words(MIB + 16, 0)) }])
    expect(loaders.loadKernel(new GuestRam(16), { kernel }).state.registers.rip).toBe(MIB + 16)
  })
})

describe('multiboot 1 (Multiboot Specification 0.6.96)', () => {
  test('an ELF kernel with a module', () => {
    const ram = new GuestRam(16)
    const kernel = elfImage(32, MIB + 4, [{ ...load, bytes: join(multibootHeader(3), code) }])
    const loaded = loaders.loadKernel(ram, { kernel, initrd: ascii('a module'), commandLine: 'debug' })
    expect(loaded).toMatchObject({ protocol: 'multiboot', kernelStart: MIB, kernelEnd: MIB + 10_000 })
    const { rax, rbx: info, rip } = loaded.state.registers
    expect([rax, rip]).toEqual([0x2bad_b002, MIB + 4])
    expect(ram.u32(info) & 0x4d).toBe(0x4d)
    expect([ram.u32(info + 4), ram.u32(info + 8)]).toEqual([639, 15 * 1024])
    expect(ram.text(ram.u32(info + 16))).toBe('debug')
    expect(ram.text(ram.u32(info + 64))).toBe('retrap')
    expect(ram.u32(info + 20)).toBe(1)
    const module = ram.u32(info + 24)
    expect([ram.u32(module), ram.u32(module + 4) - ram.u32(module)]).toEqual([loaded.initrdStart, 8])
    expect((loaded.initrdStart as number) % 4096).toBe(0)
    expect(ram.text(ram.u32(module)).slice(0, 8)).toBe('a module')
    const map: number[][] = []
    const start = ram.u32(info + 48)
    for (let at = start; at < start + ram.u32(info + 44); at += ram.u32(at) + 4)
      map.push([ram.u64(at + 4), ram.u64(at + 12), ram.u32(at + 20)])
    expect(map).toEqual(ram.e820.map((e) => [e.gpa, e.bytes, e.type]))
  })

  test('further modules follow the initrd, each with its text', () => {
    const ram = new GuestRam(16)
    const kernel = elfImage(32, MIB + 4, [{ ...load, bytes: join(multibootHeader(3), code) }])
    const modules = [{ bytes: ascii('second'), commandLine: 'a b' }, { bytes: ascii('third') }]
    const info = loaders.loadKernel(ram, { kernel, initrd: ascii('first'), modules }).state.registers.rbx
    const list = ram.u32(info + 24)
    const found = [0, 16, 32].map((at) => {
      const bytes = ram.text(ram.u32(list + at)).slice(0, ram.u32(list + at + 4) - ram.u32(list + at))
      return [bytes, ram.text(ram.u32(list + at + 8))]
    })
    expect(ram.u32(info + 20)).toBe(3)
    expect(found).toEqual([
      ['first', ''],
      ['second', 'a b'],
      ['third', ''],
    ])
  })

  test('Linux takes no modules', () => {
    expect(() =>
      loaders.loadKernel(new GuestRam(32), { kernel: linuxImage(), modules: [{ bytes: ascii('x') }] }),
    ).toThrow(/^modules: 1, expected none: Linux takes an initrd/)
  })

  // Above 4 GiB in the 64-bit image: a double holds the address exactly.
  test.each([
    { bits: 32, virtualAddress: 0xc010_0000 },
    { bits: 64, virtualAddress: 0x7f_c010_0000 },
  ] as const)(
    'a virtual entry point of an ELF$bits kernel is translated by its segment',
    ({ bits, virtualAddress }) => {
      const kernel = elfImage(bits, virtualAddress + 8, [
        { ...load, virtualAddress, bytes: join(multibootHeader(0), code) },
      ])
      expect(loaders.loadMultiboot(new GuestRam(16), { kernel }).state.registers.rip).toBe(MIB + 8)
    },
  )

  test.each([
    { given: 'all fields', loadEnd: MIB + 100, bssEnd: MIB + 5000, copied: 100, end: MIB + 5000 },
    { given: 'load_end_addr 0: to the end of the file', loadEnd: 0, bssEnd: 0, copied: 200, end: MIB + 200 },
  ])('address fields: $given', ({ loadEnd, bssEnd, copied, end }) => {
    const ram = new GuestRam(16)
    // The header lies 64 bytes into what is loaded, which lies 32 bytes into the file.
    const header = multibootHeader(0x1_0000, MIB + 64, MIB, loadEnd, bssEnd, MIB + 96)
    const file = new Uint8Array(232).fill(0x5a)
    file.set(header, 96)
    const loaded = loaders.loadKernel(ram, { kernel: file })
    expect([loaded.kernelStart, loaded.kernelEnd, loaded.state.registers.rip]).toEqual([MIB, end, MIB + 96])
    expect(ram.u32(MIB + 64)).toBe(0x1bad_b002)
    expect(ram.bytes[MIB + copied - 1]).toBe(0x5a)
    if (end > MIB + copied) expect(ram.bytes.subarray(MIB + copied, end).every((b) => b === 0)).toBe(true)
  })

  test('a wish for a video mode does not stop the boot', () => {
    const kernel = elfImage(32, MIB, [{ ...load, bytes: join(multibootHeader(4), code) }])
    expect(loaders.loadKernel(new GuestRam(16), { kernel }).protocol).toBe('multiboot')
  })
})

describe('images that cannot be booted', () => {
  const addressed = (...fields: readonly number[]): Uint8Array =>
    join(multibootHeader(0x1_0000, ...fields), new Uint8Array(100))
  test.each<{ given: string; kernel: Uint8Array; field: string; mib?: number; initrd?: Uint8Array }>([
    { given: 'an empty file', kernel: new Uint8Array(0), field: 'kernel' },
    { given: 'a text', kernel: ascii('#!/bin/sh\necho hello\n'), field: 'kernel' },
    {
      given: 'a big-endian ELF',
      kernel: (() => {
        const k = elfImage(32, 0, [load, entryNote])
        k[5] = 2
        return k
      })(),
      field: 'e_ident[EI_DATA]',
    },
    {
      given: 'an ELF of class 9',
      kernel: (() => {
        const k = elfImage(32, 0, [load, entryNote])
        k[4] = 9
        return k
      })(),
      field: 'e_ident[EI_CLASS]',
    },
    { given: 'an ARM ELF', kernel: elfImage(64, 0, [load, entryNote], 183), field: 'e_machine' },
    { given: 'an ELF without program headers', kernel: elfImage(64, 0, []), field: 'e_phnum' },
    { given: 'an ELF that says nothing of PVH', kernel: elfImage(64, 0, [load]), field: 'XEN_ELFNOTE_PHYS32_ENTRY' },
    {
      given: 'a PVH note of 2 bytes',
      kernel: elfImage(64, 0, [load, { type: 4, bytes: note('Xen', 18, new Uint8Array(2)) }]),
      field: 'XEN_ELFNOTE_PHYS32_ENTRY',
    },
    {
      given: 'a PVH entry outside RAM',
      kernel: elfImage(64, 0, [load, { type: 4, bytes: note('Xen', 18, words(0xfee0_0000)) }]),
      field: 'XEN_ELFNOTE_PHYS32_ENTRY',
    },
    { given: 'a PVH kernel with nothing to load', kernel: elfImage(64, 0, [entryNote]), field: 'p_type' },
    {
      given: 'a segment outside RAM',
      kernel: elfImage(32, 0, [{ ...load, physicalAddress: 64 * MIB }, entryNote]),
      field: 'p_paddr of an ELF segment',
    },
    {
      given: 'a segment over the VGA window',
      kernel: elfImage(32, 0, [{ ...load, physicalAddress: 0x9_f000 }, entryNote]),
      field: 'p_paddr of an ELF segment',
    },
    {
      given: 'a truncated ELF',
      kernel: elfImage(32, 0, [entryNote, load]).subarray(0, -1),
      field: 'p_offset of program header 1',
    },
    {
      given: 'p_filesz above p_memsz',
      kernel: elfImage(32, 0, [{ ...load, memoryBytes: 2 }, entryNote]),
      field: 'p_filesz of program header 0',
    },
    {
      given: 'a module larger than memory',
      kernel: elfImage(32, 0, [load, entryNote]),
      field: 'module 0 size',
      initrd: new Uint8Array(20 * MIB),
    },
    {
      given: 'multiboot: an unknown demand',
      kernel: elfImage(32, MIB, [{ ...load, bytes: multibootHeader(0x8000) }]),
      field: 'flags',
    },
    { given: 'multiboot: neither ELF nor addresses', kernel: join(multibootHeader(0), code), field: 'flags' },
    {
      given: 'multiboot: an entry in no segment',
      kernel: elfImage(32, 12, [{ ...load, bytes: multibootHeader(0) }]),
      field: 'e_entry',
    },
    { given: 'multiboot: header before load_addr', kernel: addressed(MIB, MIB + 4, 0, 0, MIB), field: 'load_addr' },
    {
      given: 'multiboot: header_addr that the file cannot have',
      kernel: addressed(MIB + 64, MIB, 0, 0, MIB),
      field: 'header_addr',
    },
    { given: 'multiboot: truncated', kernel: addressed(MIB, MIB, MIB + 1000, 0, MIB), field: 'load_end_addr' },
    {
      given: 'multiboot: load_end_addr below load_addr',
      kernel: addressed(MIB, MIB, MIB - 8, 0, MIB),
      field: 'load_end_addr',
    },
    {
      given: 'multiboot: entry_addr just behind',
      kernel: addressed(MIB, MIB, 0, 0, MIB + addressed(0, 0, 0, 0, 0).length),
      field: 'entry_addr',
    },
    { given: 'multiboot: entry_addr outside', kernel: addressed(MIB, MIB, 0, 0, MIB + 4096), field: 'entry_addr' },
    {
      given: 'multiboot: outside RAM',
      kernel: addressed(0xfee0_0000, 0xfee0_0000, 0, 0, 0xfee0_0000),
      field: 'load_addr',
    },
    { given: 'multiboot: no room for address fields', kernel: multibootHeader(0x1_0000), field: 'header_addr' },
  ])('$given: $field', ({ kernel, field, initrd }) => {
    let error: unknown
    try {
      loaders.loadKernel(new GuestRam(16), { kernel, initrd })
    } catch (caught) {
      error = caught
    }
    expect(error).toBeInstanceOf(loaders.LoaderError)
    expect(error).toMatchObject({ field })
  })

  test('any bytes either boot or are refused with a LoaderError', () => {
    const images = [
      elfImage(32, MIB + 4, [{ ...load, bytes: join(multibootHeader(3), code) }]),
      elfImage(64, 0, [load, entryNote]),
      addressed(MIB, MIB, 0, 0, MIB),
    ]
    fc.assert(
      fc.property(
        fc.constantFrom(...images),
        fc.array(fc.tuple(fc.nat(160), fc.nat(255)), { maxLength: 4 }),
        (image, pokes) => {
          const kernel = image.slice()
          for (const [at, byte] of pokes) kernel[at] = byte
          try {
            loaders.loadKernel(new GuestRam(2), { kernel })
          } catch (error) {
            expect(error).toBeInstanceOf(loaders.LoaderError)
          }
        },
      ),
      { numRuns: 300 },
    )
  })
})

describe('firmware', () => {
  test.each([
    {
      kib: 64,
      regions: [
        [0xffff_0000, 0x1_0000, 0],
        [0xf_0000, 0x1_0000, 0],
      ],
    },
    {
      kib: 128,
      regions: [
        [0xfffe_0000, 0x2_0000, 0],
        [0xe_0000, 0x2_0000, 0],
      ],
    },
    {
      kib: 16_384,
      regions: [
        [0xff00_0000, 0x100_0000, 0],
        [0xe_0000, 0x2_0000, 0xfe_0000],
      ],
    },
  ])('an image of $kib KiB ends at 4 GiB, its end at 1 MiB', ({ kib, regions }) => {
    const loaded = loaders.loadFirmware(new Uint8Array(kib * 1024), 0x663)
    expect(loaded.regions.map((r) => [r.gpa, r.bytes, r.offset])).toEqual(regions)
    const { state } = loaded
    expect(state.mode).toBe('real')
    expect([state.segments.cs.selector, state.segments.cs.base, state.registers.rip]).toEqual([
      0xf000, 0xffff_0000, 0xfff0,
    ])
    expect([state.cr0, state.registers.rdx, state.registers.rflags, state.idtr.limit]).toEqual([
      0x6000_0010, 0x663, 2, 0xffff,
    ])
  })

  test.each([0, 100, 4097, 16 * MIB + 4096])('an image of %d bytes is refused', (bytes) => {
    expect(() => loaders.loadFirmware(new Uint8Array(bytes))).toThrow(/^firmware size: /)
  })
})

describe('memory map', () => {
  test.each([
    { mib: 1, low: 1, high: 0, types: [1, 2, 2] },
    { mib: 512, low: 512, high: 0, types: [1, 2, 2, 1] },
    { mib: 3072, low: 3072, high: 0, types: [1, 2, 2, 1] },
    { mib: 3584, low: 3072, high: 512, types: [1, 2, 2, 1, 1] },
  ])('$mib MiB: $low below the hole, $high above 4 GiB', ({ mib, low, high, types }) => {
    const map = loaders.pcMemoryMap(mib * MIB)
    expect([map.lowRamBytes / MIB, map.highRamBytes / MIB]).toEqual([low, high])
    expect(map.e820.map((e) => e.type)).toEqual(types)
    expect(map.e820[0]).toEqual({ gpa: 0, bytes: 0x9_fc00, type: 1 })
    // Entries ascend and do not overlap; every RAM entry is backed.
    map.e820.forEach((entry, i) => {
      const next = map.e820[i + 1]
      if (next !== undefined) expect(entry.gpa + entry.bytes).toBeLessThanOrEqual(next.gpa)
      expect(map.ram.some((r) => entry.gpa >= r.gpa && entry.gpa + entry.bytes <= r.gpa + r.bytes)).toBe(true)
    })
  })

  test.each([0, -4096, 4095, MIB + 1, MIB - 4096, Number.NaN, Infinity])('%d bytes are refused', (bytes) => {
    expect(() => loaders.pcMemoryMap(bytes)).toThrow(/^memory size: /)
  })

  test('the BIOS data area has 256 bytes', () => {
    const written: number[][] = []
    const memory = {
      ramBytes: MIB,
      e820: [],
      write: (gpa: number, bytes: Uint8Array) => void written.push([gpa, bytes.length]),
    }
    loaders.writeBiosData(memory, { serialPorts: [0x3f8] })
    expect(written).toEqual([[0x400, 0x100]])
  })

  test('the BIOS data area names serial ports, EBDA and base memory', () => {
    const ram = new GuestRam(16)
    loaders.writeBiosData(ram, { serialPorts: [0x3f8, 0x2f8] })
    expect([ram.u16(0x400), ram.u16(0x402), ram.u16(0x404), ram.u16(0x40e), ram.u16(0x410), ram.u16(0x413)]).toEqual([
      0x3f8, 0x2f8, 0, 0x9fc0, 0x0402, 639,
    ])
  })
})
