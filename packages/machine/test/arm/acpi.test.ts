import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { QemuVirt } from '@retrap/tooling/qtest'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { sliced } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { type ArmBoard, buildArmAcpiTables, relocatableArmAcpi, VIRT } from '../../src/arm/index.ts'

const MIB = 1 << 20
const BASE = 0x4100_0000
const HEADER = 36
const hasQemu = hasProgram('qemu-system-aarch64')
const hasIasl = hasProgram('iasl')
const BOARDS: readonly ArmBoard[] = [
  { cpus: 2, memoryBytes: 64 * MIB },
  { cpus: 64, memoryBytes: 64 * MIB },
  { cpus: 8, memoryBytes: 64 * MIB, gic: 2 },
]
const boards = BOARDS.map((board) => ({ name: `${board.cpus} processors, GICv${board.gic ?? 3}`, board }))

function tablesOf(board: ArmBoard): Map<string, Uint8Array> {
  const { image, addresses } = buildArmAcpiTables(board, BASE)
  const view = new DataView(image.buffer)
  return new Map(
    Object.entries(addresses).map(([signature, gpa]) => {
      const at = gpa - BASE
      return [signature, image.subarray(at, at + view.getUint32(at + 4, true))]
    }),
  )
}

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0)
const u32 = (bytes: Uint8Array, at: number): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true)
const u64 = (bytes: Uint8Array, at: number): number =>
  Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true))

describe('links between tables (ACPI 6.5, 5.2)', () => {
  test.each(boards)('$name', ({ board }) => {
    const { image, rsdpAddress, addresses } = buildArmAcpiTables(board, BASE)
    const tables = tablesOf(board)
    expect(rsdpAddress).toBe(BASE)
    expect([sum(image.subarray(0, 20)), sum(image.subarray(0, 36))]).toEqual([0, 0])
    expect([u32(image, 16), u64(image, 24)]).toEqual([0, addresses['XSDT']])
    const xsdt = tables.get('XSDT')!
    const listed = Array.from({ length: (xsdt.length - HEADER) / 8 }, (_, i) => u64(xsdt, HEADER + 8 * i))
    const roots = ['FACP', 'APIC', 'PPTT', 'GTDT', 'MCFG', 'SPCR', 'DBG2', ...(board.gic === 2 ? [] : ['IORT'])]
    expect(listed).toEqual(roots.map((signature) => addresses[signature]))
    expect(u64(tables.get('FACP')!, 140)).toBe(addresses['DSDT'])
    for (const bytes of tables.values()) expect(sum(bytes)).toBe(0)
  })
})

/** Bytes of QEMU's tables that are different here, and why. */
const DIFFERENCES: Readonly<Record<string, readonly { readonly at: (i: number) => boolean; readonly why: string }[]>> =
  {
    FACP: [
      { at: (i) => i >= 140 && i < 148, why: 'firmware puts the address of the DSDT there' },
      { at: (i) => i >= 268, why: 'the hypervisor is not QEMU' },
    ],
    APIC: [
      // Processors' structures are of 80 bytes, behind 68.
      { at: (i) => i >= 68 && (i - 68) % 80 >= 20 && (i - 68) % 80 < 24, why: 'there are no performance monitors' },
      { at: (i) => i >= 68 && (i - 68) % 80 >= 40 && (i - 68) % 80 < 56, why: 'a guest has no hypervisor of its own' },
    ],
    GTDT: [{ at: (i) => i === 68, why: 'the virtual timer is always on, as the device tree says' }],
  }

/** QEMU's tables, which it gives to firmware. */
async function qemuTables({ cpus, gic = 3 }: ArmBoard): Promise<Map<string, Uint8Array>> {
  const folder = temporaryFolder('acpi')
  const firmware = join(folder, 'firmware')
  writeFileSync(firmware, new Uint8Array(4096))
  const machine = ['-machine', `virt,gic-version=${gic}`, '-smp', `${cpus}`, '-cpu', 'max']
  const qemu = new QemuVirt(...machine, '-bios', firmware, '-serial', 'null')
  try {
    const { base } = VIRT.fwCfg
    const select = (key: number): Promise<void> => qemu.write(base + 8, 2, ((key & 0xff) << 8) | (key >> 8))
    const take = async (bytes: number): Promise<Buffer> => {
      const words = await Promise.all(Array.from({ length: bytes / 4 }, () => qemu.read(base, 4)))
      return Buffer.from(Uint32Array.from(words).buffer)
    }
    await select(0x19)
    const directory = await take((await take(4)).readUInt32BE(0) * 64)
    const at = directory.indexOf('etc/acpi/tables') - 8
    await select(directory.readUInt16BE(at + 4))
    const blob = await take(directory.readUInt32BE(at))
    const tables = new Map<string, Uint8Array>()
    for (let next = 0; blob[next] !== 0; next += blob.readUInt32LE(next + 4))
      tables.set(blob.toString('latin1', next, next + 4), blob.subarray(next, next + blob.readUInt32LE(next + 4)))
    return tables
  } finally {
    await qemu.stop()
  }
}

describe.skipIf(!hasQemu)(`tables say what QEMU's say${skipNote(hasQemu, 'there is no qemu-system-aarch64')}`, () => {
  test.each(sliced(boards, 3))('$name', async ({ board }) => {
    const ours = tablesOf(board)
    const theirs = await qemuTables(board)
    const used = new Set<string>()
    // The DSDT is another program; DBG2 differs in the length of a name.
    for (const signature of ['FACP', 'APIC', 'PPTT', 'GTDT', 'MCFG', 'SPCR', ...(board.gic === 2 ? [] : ['IORT'])]) {
      const mine = ours.get(signature)!
      const its = theirs.get(signature)!
      expect(`${signature} ${its.length}`).toBe(`${signature} ${mine.length}`)
      // Length and checksum differ with the content, and names are ours.
      expect(mine[8]).toBe(its[8])
      for (let i = HEADER; i < mine.length; i++) {
        if (mine[i] === its[i]) continue
        const row = DIFFERENCES[signature]?.find(({ at }) => at(i))
        if (row === undefined) expect.unreachable(`${signature} byte ${i}: ${mine[i]}, QEMU ${its[i]}`)
        used.add(row!.why)
      }
    }
    const rows = Object.values(DIFFERENCES)
      .flat()
      .map(({ why }) => why)
    const onlyGicv2 = 'a guest has no hypervisor of its own'
    expect(rows.filter((why) => !used.has(why))).toEqual(
      // Ours are linked, QEMU's wait for firmware.
      board.gic === 2 ? [] : [onlyGicv2],
    )
  })

  test('the debug port has the name of the UART in the DSDT', async () => {
    const mine = Buffer.from(tablesOf(BOARDS[0]!).get('DBG2')!)
    const its = Buffer.from((await qemuTables(BOARDS[0]!)).get('DBG2')!)
    expect([mine.toString('latin1', 82), its.toString('latin1', 82)]).toEqual(['\\_SB.COM0\0', 'COM0\0'])
    // Lengths of the structure and of the name.
    const cut = (bytes: Buffer): number[] =>
      [...bytes.subarray(HEADER, 82)].filter((_byte, i) => ![9, 10, 12].includes(i))
    expect(cut(mine)).toEqual(cut(its))
    expect([mine.readUInt16LE(45), mine.readUInt16LE(48)]).toEqual([mine.length - 44, 10])
  })
})

describe.skipIf(!hasIasl)(`iasl reads the tables${skipNote(hasIasl, 'there is no iasl')}`, () => {
  const folder = temporaryFolder('iasl')
  const run = (...options: readonly string[]): string => {
    const { stdout, stderr, status } = spawnSync('iasl', options, { cwd: folder, encoding: 'utf8' })
    expect(status, `${stdout}${stderr}`).toBe(0)
    return stdout + stderr
  }

  test.each(sliced(boards, 3))('$name', ({ board }) => {
    for (const [signature, bytes] of tablesOf(board)) {
      if (signature === 'XSDT') continue
      writeFileSync(join(folder, `${signature}.aml`), bytes)
      expect(run('-d', `${signature}.aml`)).not.toMatch(/error|warning/i)
      // This iasl is older than the identifiers of nodes.
      if (signature === 'IORT') continue
      // What it compiles from that is what went in, but for its name in the header.
      const compiled = run(...(signature === 'DSDT' ? ['-oa'] : []), '-we', '-p', 'again', `${signature}.dsl`)
      expect(compiled).toMatch(/ 0 Errors, 0 Warnings, 0 Remarks/)
      expect(readFileSync(join(folder, 'again.aml')).subarray(HEADER)).toEqual(Buffer.from(bytes.subarray(HEADER)))
    }
    const text = readFileSync(join(folder, 'DSDT.dsl'), 'utf8')
    expect(text).toMatch(/GpioInt \(Edge, ActiveHigh, Exclusive, PullNone, 0x0000,\s+"\\\\_SB.GPO0"/)
    expect(text).toMatch(/Method \(_E03, 0, NotSerialized\)[^}]*Notify \(\\_SB\.PWRB, 0x80\)/)
    expect(text).toMatch(/DWordIO [^}]*0x3EFF0000, +\/\/ Translation Offset/)
    expect(text.match(/Device \(C0/g)).toHaveLength(board.cpus)
    expect(text.match(/Device \(VR/g)).toHaveLength(32)
  })
})

test('firmware links what it places (QEMU, bios-linker-loader)', () => {
  const { rsdp, tables, script } = relocatableArmAcpi(BOARDS[0]!)
  const at = 0x7_0000_0000
  const files = new Map([
    ['etc/acpi/rsdp', rsdp.slice()],
    ['etc/acpi/tables', tables.slice()],
  ])
  const view = new DataView(script.buffer)
  const name = (from: number): string => String.fromCharCode(...script.subarray(from, from + 56)).replace(/\0.*/s, '')
  for (let command = 0; command < script.length; command += 128) {
    const file = files.get(name(command + 4))!
    const bytes = new DataView(file.buffer)
    const number = view.getUint32(command, true)
    if (number === 2) {
      const offset = view.getUint32(command + 116, true)
      expect(script[command + 120]).toBe(8)
      bytes.setBigUint64(offset, bytes.getBigUint64(offset, true) + BigInt(at), true)
    } else if (number === 3) {
      const [offset, start, length] = [60, 64, 68].map((field) => view.getUint32(command + field, true)) as [
        number,
        number,
        number,
      ]
      bytes.setUint8(offset, -sum(file.subarray(start, start + length)) & 0xff)
    } else expect(number).toBe(1)
  }
  const built = buildArmAcpiTables(BOARDS[0]!, 0)
  const { image } = buildArmAcpiTables(BOARDS[0]!, at)
  expect(files.get('etc/acpi/rsdp')).toEqual(image.subarray(0, 36))
  expect(files.get('etc/acpi/tables')!.subarray(64)).toEqual(image.subarray(64))
  expect(built.rsdpAddress).toBe(0)
})

test('a board without an ITS has none in its tables', () => {
  const [first] = BOARDS
  const [full, plain] = [tablesOf(first!), tablesOf({ ...first!, its: false })]
  expect([...full.keys()].filter((signature) => !plain.has(signature))).toEqual(['IORT'])
  const [long, short] = [full.get('APIC')!, plain.get('APIC')!]
  expect(short.subarray(HEADER)).toEqual(long.subarray(HEADER, long.length - 20))
})
