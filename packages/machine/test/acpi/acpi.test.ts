import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { buildAcpiTables, type AcpiBoard, type AcpiTables } from '../../src/acpi/index.ts'
import * as aml from '../../src/acpi/aml.ts'
import { board } from '../support/acpi-board.ts'

const bare: AcpiBoard = {
  ...board,
  apicIds: [0],
  smiCommand: undefined,
  hpet: undefined,
  pciMemory64: undefined,
  isaBridgeDevice: undefined,
  serialPorts: [],
  keyboardController: false,
}

const q35: AcpiBoard = {
  ...board,
  machine: 'q35',
  isaBridgeDevice: 31,
  ecam: { base: 0xe000_0000, buses: 256 },
  pciMemory: { start: 0xb000_0000, end: 0xdfff_ffff },
}

const table = (tables: AcpiTables, signature: string): DataView => {
  const at = (tables.addresses[signature] as number) - tables.rsdpAddress
  const length = new DataView(tables.image.buffer).getUint32(at + 4, true)
  return new DataView(tables.image.buffer, at, length)
}
const sum = (view: DataView, bytes = view.byteLength): number => {
  let total = 0
  for (let i = 0; i < bytes; i++) total += view.getUint8(i)
  return total & 0xff
}

test('MCFG says where PCI Express configuration space is (PCI Firmware Specification 3.3, 4.1.2)', () => {
  const view = table(buildAcpiTables(q35), 'MCFG')
  expect([sum(view), view.byteLength, view.getBigUint64(44, true), view.getUint16(52, true)]).toEqual([
    0,
    60,
    0xe000_0000n,
    0,
  ])
  expect([view.getUint8(54), view.getUint8(55)]).toEqual([0, 255])
  expect(buildAcpiTables(board).addresses['MCFG']).toBe(undefined)
})

describe('tables (ACPI 6.5, 5.2)', () => {
  const tables = buildAcpiTables(board)

  test('the RSDP is where a scan finds it, with both checksums right', () => {
    const rsdp = new DataView(tables.image.buffer, 0, 36)
    expect(String.fromCharCode(...tables.image.subarray(0, 8))).toBe('RSD PTR ')
    expect([sum(rsdp, 20), sum(rsdp), rsdp.getUint8(15), rsdp.getUint32(20, true)]).toEqual([0, 0, 2, 36])
    expect(rsdp.getUint32(16, true)).toBe(tables.addresses['RSDT'])
    expect(Number(rsdp.getBigUint64(24, true))).toBe(tables.addresses['XSDT'])
    expect(tables.rsdpAddress).toBe(0xe_0000)
  })

  test.each(['DSDT', 'FACP', 'APIC', 'HPET', 'RSDT', 'XSDT'])('%s sums to zero', (signature) => {
    expect(sum(table(tables, signature))).toBe(0)
  })

  test('RSDT and XSDT list the same tables; the DSDT hangs on the FADT', () => {
    const rsdt = table(tables, 'RSDT')
    const xsdt = table(tables, 'XSDT')
    const listed = ['FACP', 'APIC', 'HPET'].map((s) => tables.addresses[s])
    expect(listed.map((_, i) => rsdt.getUint32(36 + 4 * i, true))).toEqual(listed)
    expect(listed.map((_, i) => Number(xsdt.getBigUint64(36 + 8 * i, true)))).toEqual(listed)
    const fadt = table(tables, 'FACP')
    expect([fadt.getUint32(40, true), Number(fadt.getBigUint64(140, true))]).toEqual([
      tables.addresses['DSDT'],
      tables.addresses['DSDT'],
    ])
    expect((fadt.getUint32(36, true) as number) % 64).toBe(0)
  })

  test.each([
    { field: 'SCI_INT', at: 46, size: 2, value: 9 },
    { field: 'SMI_CMD', at: 48, size: 4, value: 0xb2 },
    { field: 'ACPI_ENABLE', at: 52, size: 1, value: 0xf1 },
    { field: 'PM1a_EVT_BLK', at: 56, size: 4, value: 0x600 },
    { field: 'PM1a_CNT_BLK', at: 64, size: 4, value: 0x604 },
    { field: 'PM_TMR_BLK', at: 76, size: 4, value: 0x608 },
    { field: 'CENTURY', at: 108, size: 1, value: 0x32 },
    { field: 'IAPC_BOOT_ARCH', at: 109, size: 2, value: 0x07 },
    { field: 'Flags', at: 112, size: 4, value: 0x505 },
    { field: 'Preferred_PM_Profile', at: 45, size: 1, value: 1 },
    { field: 'ACPI_DISABLE', at: 53, size: 1, value: 0xf0 },
    { field: 'PM1_EVT_LEN', at: 88, size: 1, value: 4 },
    { field: 'PM1_CNT_LEN', at: 89, size: 1, value: 2 },
    { field: 'PM_TMR_LEN', at: 91, size: 1, value: 4 },
    { field: 'P_LVL2_LAT', at: 96, size: 2, value: 0xfff },
    { field: 'P_LVL3_LAT', at: 98, size: 2, value: 0xfff },
    { field: 'RESET_VALUE', at: 128, size: 1, value: 6 },
  ])('FADT $field', ({ at, size, value }) => {
    const fadt = table(tables, 'FACP')
    expect(size === 1 ? fadt.getUint8(at) : size === 2 ? fadt.getUint16(at, true) : fadt.getUint32(at, true)).toBe(
      value,
    )
    expect(fadt.byteLength).toBe(276)
  })

  test('FADT says that there is no VGA where there is none, which keeps kernels from looking for it', () => {
    const flags = (of: AcpiBoard): number => table(buildAcpiTables(of), 'FACP').getUint16(109, true)
    expect(flags({ ...board, graphics: true })).toBe(0x03)
    expect(flags({ ...board, graphics: false })).toBe(0x07)
  })

  test.each([
    { field: 'RESET_REG', at: 116, bits: 8, access: 1, port: 0xcf9 },
    { field: 'X_PM1a_EVT_BLK', at: 148, bits: 32, access: 2, port: 0x600 },
    { field: 'X_PM1a_CNT_BLK', at: 172, bits: 16, access: 2, port: 0x604 },
    { field: 'X_PM_TMR_BLK', at: 208, bits: 32, access: 3, port: 0x608 },
  ])('FADT $field is an I/O register of $bits bits', ({ at, bits, access, port }) => {
    const fadt = table(tables, 'FACP')
    const bytes = Array.from({ length: 12 }, (_, i) => fadt.getUint8(at + i))
    expect(bytes).toEqual([1, bits, 0, access, port & 0xff, port >>> 8, 0, 0, 0, 0, 0, 0])
  })

  test('the MADT lists processors, I/O APIC, IRQ 0 on GSI 2, SCI as level and high, and NMI on LINT1', () => {
    const madt = table(tables, 'APIC')
    const entries: number[][] = []
    for (let at = 44; at < madt.byteLength; at += madt.getUint8(at + 1))
      entries.push(Array.from({ length: madt.getUint8(at + 1) }, (_, i) => madt.getUint8(at + i)))
    expect(entries).toEqual([
      ...[0, 1, 2, 3].map((id) => [0, 8, id, id, 1, 0, 0, 0]),
      [1, 12, 4, 0, 0x00, 0x00, 0xc0, 0xfe, 0, 0, 0, 0],
      [2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
      [2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0],
      [4, 6, 0xff, 5, 0, 1],
    ])
  })

  test('processors from id 255 up get x2APIC entries', () => {
    const madt = table(buildAcpiTables({ ...board, apicIds: [0, 254, 255, 1000] }), 'APIC')
    const types: number[] = []
    for (let at = 44; at < madt.byteLength; at += madt.getUint8(at + 1)) types.push(madt.getUint8(at))
    expect(types).toEqual([0, 0, 9, 9, 1, 2, 2, 4, 10])
  })

  test.each([
    { cpus: 255, base: 0xe_0000 },
    { cpus: 1, base: 0x700_0000 },
  ])('$cpus processors fit at $base', ({ cpus, base }) => {
    const big = buildAcpiTables({ ...board, apicIds: Array.from({ length: cpus }, (_, i) => i) }, base)
    expect(big.rsdpAddress).toBe(base)
    expect(base + big.image.length).toBeLessThanOrEqual(base < 0x10_0000 ? 0x10_0000 : Infinity)
  })

  test.each([
    { base: 0xe_0010, message: /expected a multiple of 64/ },
    { base: 0xf_ff00, message: /end above 1 MiB/ },
  ])('a base of $base is refused', ({ base, message }) => {
    expect(() => buildAcpiTables(board, base)).toThrow(message)
  })
})

describe('AML encodings (ACPI 6.5, chapter 20)', () => {
  test.each([
    { term: 'Zero', bytes: aml.integer(0), expected: [0x00] },
    { term: 'One', bytes: aml.integer(1), expected: [0x01] },
    { term: 'a byte', bytes: aml.integer(0xff), expected: [0x0a, 0xff] },
    { term: 'a word', bytes: aml.integer(0x100), expected: [0x0b, 0x00, 0x01] },
    { term: 'a dword', bytes: aml.integer(0x1_0000), expected: [0x0c, 0, 0, 1, 0] },
    { term: 'a qword', bytes: aml.integer(2 ** 32), expected: [0x0e, 0, 0, 0, 0, 1, 0, 0, 0] },
    { term: 'PNP0A03', bytes: aml.eisaId('PNP0A03'), expected: [0x0c, 0x41, 0xd0, 0x0a, 0x03] },
    {
      term: 'a root path',
      bytes: aml.path('\\_SB.PCI0.ISA'),
      expected: [0x5c, 0x2f, 3, ...Buffer.from('_SB_PCI0ISA_')],
    },
    { term: 'a parent path', bytes: aml.path('^^A.B'), expected: [0x5e, 0x5e, 0x2e, ...Buffer.from('A___B___')] },
    { term: 'a short package', bytes: aml.pkg(aml.integer(1)), expected: [0x12, 3, 1, 1] },
  ])('$term', ({ bytes, expected }) => {
    expect([...bytes]).toEqual(expected)
  })

  test.each([
    { content: 62, head: [0x11, 0x42, 0x04] },
    { content: 4000, head: [0x11, 0x45, 0xfa] },
    { content: 70_000, head: [0x11, 0x88, 0x17, 0x11] },
  ])('a buffer of $content bytes has the right PkgLength', ({ content, head }) => {
    expect([...aml.buffer(new Uint8Array(content)).subarray(0, head.length)]).toEqual(head)
  })

  test.each([
    { what: 'a name of five letters', call: () => aml.path('ABCDE') },
    { what: 'an EISA id of lower case', call: () => aml.eisaId('pnp0a03') },
  ])('$what is refused', ({ call }) => {
    expect(call).toThrow(RangeError)
  })
})

/** iasl from the path, or from Debian's acpica-tools unpacked aside; null where neither can be had. */
function findIasl(scratch: string): string | null {
  try {
    execFileSync('iasl', ['-v'], { stdio: 'ignore' })
    return 'iasl'
  } catch {
    // Not installed: fetch the package as any user may.
  }
  try {
    execFileSync('apt-get', ['download', 'acpica-tools'], { cwd: scratch, stdio: 'ignore', timeout: 60_000 })
    const deb = readdirSync(scratch).find((file) => file.endsWith('.deb')) as string
    execFileSync('dpkg-deb', ['-x', deb, 'acpica'], { cwd: scratch, stdio: 'ignore' })
    const iasl = join(scratch, 'acpica/usr/bin/iasl')
    return existsSync(iasl) ? iasl : null
  } catch {
    return null
  }
}

const scratch = temporaryFolder('acpi')
const iasl = findIasl(scratch)
if (iasl === null)
  console.warn('SKIPPED: no iasl, and no apt-get to fetch acpica-tools: ACPI tables are not checked against it')

describe.skipIf(iasl === null)('iasl, the reference compiler', () => {
  test.each([
    { name: 'full', config: board },
    { name: 'bare', config: bare },
    { name: 'q35', config: q35 },
    { name: 'large', config: { ...board, apicIds: Array.from({ length: 255 }, (_, i) => i) } },
  ])('reads the $name tables and compiles them again', ({ name, config }) => {
    const tables = buildAcpiTables(config)
    for (const signature of Object.keys(tables.addresses)) {
      if (signature === 'RSDT' || signature === 'XSDT' || signature === 'FACS') continue
      const view = table(tables, signature)
      const file = join(scratch, `${name}-${signature}`)
      writeFileSync(`${file}.aml`, new Uint8Array(view.buffer, view.byteOffset, view.byteLength))
      const read = execFileSync(iasl as string, ['-d', `${file}.aml`], { encoding: 'utf8', stdio: 'pipe' })
      expect(read).not.toMatch(/error|warning/i)
      // Without optimisation, so that what comes out is what went in but for the compiler's name and the checksum.
      const options = signature === 'DSDT' ? ['-oa', '-we'] : ['-we']
      const compiled = execFileSync(iasl as string, [...options, '-p', `${file}-again`, `${file}.dsl`], {
        encoding: 'utf8',
        stdio: 'pipe',
      })
      expect(compiled).toMatch(/ 0 Errors, 0 Warnings, 0 Remarks/)
      const again = readFileSync(`${file}-again.aml`)
      const strip = (bytes: Uint8Array): Uint8Array => bytes.slice(36)
      expect(Buffer.from(strip(again)).equals(Buffer.from(strip(readFileSync(`${file}.aml`))))).toBe(true)
    }
  })
})
