import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { loadKernel, loadLinux, LoaderError, type LoadedKernel } from '../../src/loaders/index.ts'
import { GuestRam } from './guest-ram.ts'
import { linuxImage, type LinuxFields } from '@retrap/tooling/images'

const test = sliceTests(2)

const MIB = 1 << 20
const PARAMS = 0x1_0000

const load = (ram: GuestRam, fields: LinuxFields = {}, initrdBytes = 0, commandLine = ''): LoadedKernel =>
  loadLinux(ram, {
    kernel: linuxImage(fields),
    initrd: new Uint8Array(initrdBytes).fill(0x77),
    commandLine,
    rsdpAddress: 0xe_0000,
  })

describe('64-bit boot protocol (Linux, boot.rst)', () => {
  const ram = new GuestRam(32)
  const loaded = load(ram, {}, 5000, 'console=ttyS0 quiet')

  test('the kernel goes to its preferred address, and the rest of init_size is cleared', () => {
    expect([loaded.protocol, loaded.kernelStart, loaded.kernelEnd]).toEqual(['linux-64', 16 * MIB, 17 * MIB])
    expect(ram.bytes.subarray(16 * MIB, 16 * MIB + 4096)).toEqual(linuxImage().subarray(2048))
    expect(ram.bytes.subarray(16 * MIB + 4096, 17 * MIB).every((b) => b === 0)).toBe(true)
    expect(ram.bytes[17 * MIB]).toBe(0xcc)
  })

  test('entry is 0x200 behind the start, RSI points to boot_params, interrupts are off', () => {
    expect(loaded.state.registers).toMatchObject({ rip: 16 * MIB + 0x200, rsi: PARAMS, rflags: 2 })
  })

  test('the processor is in 64-bit mode with flat segments 0x10 and 0x18', () => {
    const { mode, cr0, cr4, efer, segments, gdtr } = loaded.state
    expect({ mode, cr0, cr4, efer }).toEqual({ mode: 'long', cr0: 0x8000_0011, cr4: 0x20, efer: 0x500 })
    expect(segments.cs).toEqual({ selector: 0x10, base: 0, limit: 0xffff_ffff, attributes: 0xa09b })
    for (const name of ['ds', 'es', 'ss'] as const)
      expect(segments[name]).toEqual({ selector: 0x18, base: 0, limit: 0xffff_ffff, attributes: 0xc093 })
    expect(ram.view.getBigUint64(gdtr.base + 0x10, true)).toBe(0x00af_9b00_0000_ffffn)
    expect(ram.view.getBigUint64(gdtr.base + 0x18, true)).toBe(0x00cf_9300_0000_ffffn)
    expect(gdtr.limit).toBe(31)
  })

  test.each([0, 0x1000, 0x1f_ffff, 16 * MIB, 0xbfff_ffff, 0xffff_ffff])(
    'linear address %d maps to itself',
    (address) => {
      const pml4e = ram.u64(loaded.state.cr3 + 8 * Math.floor(address / 2 ** 39))
      expect(pml4e & 1).toBe(1)
      const pdpte = ram.u64((pml4e & ~0xfff) + 8 * Math.floor(address / 2 ** 30))
      expect(pdpte & 0x81).toBe(1)
      const pde = ram.u64((pdpte & ~0xfff) + 8 * (Math.floor(address / 2 ** 21) & 511))
      expect(pde % 256).toBe(0x83)
      expect(Math.floor(pde / 2 ** 21)).toBe(Math.floor(address / 2 ** 21))
    },
  )

  test('boot_params holds the header, the loader’s fields and nothing else', () => {
    const image = linuxImage()
    expect(ram.bytes.subarray(PARAMS + 0x22c, PARAMS + 0x26c)).toEqual(image.subarray(0x22c, 0x26c))
    expect(ram.bytes[PARAMS + 0x210]).toBe(0xff)
    expect(ram.u32(PARAMS + 0x214)).toBe(16 * MIB)
    expect(ram.text(ram.u32(PARAMS + 0x228))).toBe('console=ttyS0 quiet')
    expect(ram.u64(PARAMS + 0x70)).toBe(0xe_0000)
    // The sentinel of a loader that cleared the page.
    expect(ram.bytes[PARAMS + 0x1ef]).toBe(0)
    expect(ram.bytes[PARAMS]).toBe(0)
  })

  test('the initrd lies page-aligned at the top of RAM', () => {
    expect(loaded.initrdStart).toBe(32 * MIB - 8192)
    expect([ram.u32(PARAMS + 0x218), ram.u32(PARAMS + 0x21c)]).toEqual([32 * MIB - 8192, 5000])
    expect(ram.bytes[32 * MIB - 8192 + 4999]).toBe(0x77)
  })

  test('the E820 table is the machine’s', () => {
    expect(ram.bytes[PARAMS + 0x1e8]).toBe(ram.e820.length)
    ram.e820.forEach((entry, i) => {
      const at = PARAMS + 0x2d0 + 20 * i
      expect([ram.u64(at), ram.u64(at + 8), ram.u32(at + 16)]).toEqual([entry.gpa, entry.bytes, entry.type])
    })
  })
})

describe('32-bit boot protocol', () => {
  test.each([
    { given: 'a kernel without a 64-bit entry', fields: { xloadflags: 0 } },
    { given: 'a kernel older than xloadflags', fields: { version: 0x20a } },
  ])('$given starts in protected mode at its first byte', ({ fields }) => {
    const ram = new GuestRam(32)
    const { protocol, state } = load(ram, fields)
    expect([protocol, state.mode, state.cr0, state.cr4, state.efer]).toEqual(['linux-32', 'protected', 0x11, 0, 0])
    expect(state.registers).toMatchObject({ rip: 16 * MIB, rsi: PARAMS, rbx: 0, rbp: 0, rdi: 0 })
    expect(state.segments.cs).toEqual({ selector: 0x10, base: 0, limit: 0xffff_ffff, attributes: 0xc09b })
    expect(ram.view.getBigUint64(state.gdtr.base + 0x10, true)).toBe(0x00cf_9b00_0000_ffffn)
  })

  test('the last paragraph that syssize counts may be unfilled', () => {
    const image = linuxImage()
    const load = (length: number): unknown => loadLinux(new GuestRam(32), { kernel: image.subarray(0, length) })
    expect(load(image.length - 15)).toMatchObject({ kernelStart: 16 * MIB })
    expect(() => load(image.length - 16)).toThrow(/truncated/)
  })

  test('a kernel older than pref_address goes to 1 MiB', () => {
    expect(load(new GuestRam(32), { version: 0x206 }).kernelStart).toBe(MIB)
  })
})

describe('16-bit boot protocol, for an image without an entry in protected mode', () => {
  const fields = { version: 0x207, code32Start: 0 }
  const ram = new GuestRam(32)
  const loaded = load(ram, fields, 100, 'shell')
  const setup = 0x1_0000

  test('the setup sectors go to 0x10000 and the rest to 1 MiB', () => {
    const image = linuxImage(fields)
    expect([loaded.protocol, loaded.kernelStart]).toEqual(['linux-16', MIB])
    expect(ram.bytes.subarray(setup, setup + 0x1f1)).toEqual(image.subarray(0, 0x1f1))
    expect(ram.bytes.subarray(setup + 0x264, setup + 2048)).toEqual(image.subarray(0x264, 2048))
    expect(ram.bytes.subarray(MIB, MIB + 4096)).toEqual(image.subarray(2048))
  })

  test('the header has the loader’s fields', () => {
    expect(ram.bytes[setup + 0x210]).toBe(0xff)
    // CAN_USE_HEAP, and the heap's end without the 0x200 that the protocol leaves out.
    expect(ram.bytes[setup + 0x211]).toBe(0x81)
    expect(ram.view.getUint16(setup + 0x224, true)).toBe(0xde00)
    const commandLine = ram.u32(setup + 0x228)
    expect(commandLine).toBe(setup + 0xe000)
    expect(String.fromCharCode(...ram.bytes.subarray(commandLine, commandLine + 6))).toBe('shell\0')
    expect([ram.u32(setup + 0x218), ram.u32(setup + 0x21c)]).toEqual([loaded.initrdStart, 100])
  })

  test('the processor is in real mode behind the boot sector, with all data segments at the header', () => {
    const { mode, registers, segments, cr0 } = loaded.state
    expect({ mode, cr0 }).toEqual({ mode: 'real', cr0: 0x10 })
    expect(registers).toMatchObject({ rip: 0, rsp: 0xe000, rflags: 2 })
    expect(segments.cs).toMatchObject({ selector: 0x1020, base: 0x1_0200 })
    for (const name of ['ds', 'es', 'fs', 'gs', 'ss'] as const)
      expect(segments[name]).toMatchObject({ selector: 0x1000, base: 0x1_0000, limit: 0xffff })
  })
})

test('16-bit boot protocol: an initrd that would lie over the kernel is refused', () => {
  const old = { version: 0x20a, code32Start: 0, initSize: 12 * MIB }
  expect(load(new GuestRam(16), old, 2 * MIB).initrdStart).toBe(14 * MIB)
  expect(() => load(new GuestRam(16), old, 4 * MIB)).toThrow(/initrd size: .* expected at most 3145728 bytes/)
})

describe('placement', () => {
  test.each([{ given: 'preferred address in RAM', mib: 64, fields: { prefAddress: 32 * MIB }, start: 32 * MIB }])(
    '$given: the kernel goes to $start',
    ({ mib, fields, start }) => {
      expect(load(new GuestRam(mib), fields).kernelStart).toBe(start)
    },
  )

  test.each([
    { given: 'an initrd under initrd_addr_max', fields: { initrdAddrMax: 0x17f_ffff }, at: 24 * MIB - 4096 },
    {
      given: 'an initrd that may lie anywhere',
      fields: { initrdAddrMax: 0x17f_ffff, xloadflags: 3 },
      at: 32 * MIB - 4096,
    },
  ])('$given lies at $at', ({ fields, at }) => {
    expect(load(new GuestRam(32), fields, 100).initrdStart).toBe(at)
  })

  test('an initrd of whole pages ends with the page that initrd_addr_max is the last byte of', () => {
    expect(load(new GuestRam(32), { initrdAddrMax: 0x17f_ffff }, 8192).initrdStart).toBe(24 * MIB - 8192)
  })

  test('no initrd leaves its fields zero', () => {
    const ram = new GuestRam(32)
    expect(load(ram).initrdStart).toBe(null)
    expect([ram.u32(PARAMS + 0x218), ram.u32(PARAMS + 0x21c)]).toEqual([0, 0])
  })

  test('a UTF-8 command line is passed as it is', () => {
    const ram = new GuestRam(32)
    load(ram, {}, 0, 'a=é€😀')
    const at = ram.u32(PARAMS + 0x228)
    expect(new TextDecoder().decode(ram.bytes.subarray(at, at + 11))).toBe('a=é€😀')
  })
})

describe('images that cannot be booted', () => {
  test.each<{ given: string; fields: LinuxFields; field: string; mib?: number; initrd?: number; commandLine?: string }>(
    [
      { given: 'boot_flag', fields: { bootFlag: 0x1234 }, field: 'boot_flag' },
      { given: 'header', fields: { magic: 0 }, field: 'header' },
      { given: 'version 2.5', fields: { version: 0x205 }, field: 'version' },
      { given: 'zImage', fields: { loadflags: 0 }, field: 'loadflags' },
      { given: 'syssize 0', fields: { paragraphs: 0 }, field: 'syssize' },
      { given: 'alignment 3', fields: { alignment: 3 }, field: 'kernel_alignment' },
      { given: 'jump past boot_params', fields: { jump: 0xff }, field: 'jump' },
      { given: 'init_size larger than RAM', fields: { initSize: 64 * MIB }, field: 'init_size' },
      { given: 'no RAM where it runs', fields: {}, field: 'init_size', mib: 8 },
      { given: 'not relocatable, and no RAM where it must be', fields: { relocatable: 0 }, field: 'init_size', mib: 8 },
      { given: 'initrd larger than memory', fields: {}, field: 'initrd size', initrd: 40 * MIB },
      { given: 'initrd that does not fit over the kernel', fields: {}, field: 'initrd size', initrd: 16 * MIB },
      { given: 'command line too long', fields: { cmdlineSize: 9 }, field: 'command line', commandLine: '0123456789' },
      { given: 'command line with NUL', fields: {}, field: 'command line', commandLine: 'a\0b' },
    ],
  )('$given', ({ fields, field, mib, initrd, commandLine }) => {
    const ram = new GuestRam(mib ?? 32)
    let error: unknown
    try {
      load(ram, fields, initrd ?? 0, commandLine ?? '')
    } catch (caught) {
      error = caught
    }
    expect(error).toBeInstanceOf(LoaderError)
    expect(error).toMatchObject({ field })
    expect((error as LoaderError).message).toMatch(/^\S.*: .+, expected .+/)
    // Nothing was written before the check that failed.
    expect(ram.isUntouched).toBe(true)
  })

  test.each([0, 1, 100, 511, 512, 0x203, 0x263, 0x264, 2048, 6128])('a bzImage cut to %d bytes', (bytes) => {
    const kernel = linuxImage().subarray(0, bytes)
    expect(() => loadLinux(new GuestRam(32), { kernel })).toThrow(LoaderError)
    expect(() => loadKernel(new GuestRam(32), { kernel })).toThrow(LoaderError)
  })

  test('a truncated kernel is told so, with the field and the sizes', () => {
    const kernel = linuxImage().subarray(0, 3000)
    expect(() => loadKernel(new GuestRam(32), { kernel })).toThrow(
      /^syssize: 4096 bytes behind 2048 of setup, expected .* it ends after 3000 bytes; it is truncated$/,
    )
  })
})
