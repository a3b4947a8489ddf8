import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { type ArmBoard, armDeviceTree } from '../../src/arm/index.ts'
import { type FlatNode, readDeviceTree } from '../support/read-device-tree.ts'

const MIB = 1 << 20
const hasQemu = hasProgram('qemu-system-aarch64')
const hasDtc = hasProgram('dtc')

/** Properties whose cells at these places are handles: each row of so many cells. */
const REFERENCES: Readonly<Record<string, { readonly row: number; readonly at: number }>> = {
  'interrupt-parent': { row: 1, at: 0 },
  clocks: { row: 1, at: 0 },
  cpu: { row: 1, at: 0 },
  gpios: { row: 3, at: 0 },
  'interrupt-map': { row: 10, at: 4 },
  'msi-map': { row: 4, at: 1 },
}
const RANDOM = new Set(['rng-seed', 'kaslr-seed'])

/** The content of a tree, one line a property: handles are the paths of what they stand for. */
function contentOf(blob: Uint8Array): Map<string, string> {
  const nodes = readDeviceTree(blob)
  const cellsOf = (value: Uint8Array): number[] => {
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
    return Array.from({ length: value.length >> 2 }, (_, i) => view.getUint32(4 * i))
  }
  const paths = new Map<number, string>()
  for (const { path, properties } of nodes) {
    const handle = properties.get('phandle')
    if (handle !== undefined) paths.set(cellsOf(handle)[0]!, named(path, nodes))
  }
  const content = new Map<string, string>()
  for (const { path, properties } of nodes) {
    content.set(named(path, nodes), '')
    for (const [name, value] of properties) {
      const reference = REFERENCES[name]
      const cells = cellsOf(value).map((cell, i) =>
        reference !== undefined && i % reference.row === reference.at ? paths.get(cell)! : cell.toString(16),
      )
      const text = RANDOM.has(name)
        ? `${value.length} bytes`
        : reference === undefined
          ? Buffer.from(value).toString('hex')
          : cells.join(' ')
      if (name !== 'phandle') content.set(`${named(path, nodes)} ${name}`, text)
    }
  }
  return content
}

/** QEMU counts processors in the names of their nodes; the specification has their address there (0.4, 2.2.1.1). */
function named(path: string, nodes: readonly FlatNode[]): string {
  const reg = path.startsWith('/cpus/cpu@')
    ? nodes.find((node) => node.path === path)!.properties.get('reg')
    : undefined
  return reg === undefined ? path : `/cpus/cpu@${Buffer.from(reg).readUInt32BE(0).toString(16)}`
}

/** What differs from QEMU 7.2, by the beginnings of lines, and why. */
const DIFFERENCES: readonly { readonly line: RegExp; readonly why: string }[] = [
  { line: /^\/platform-bus@/, why: 'no devices are added to the board by name' },
  { line: /^\/pmu/, why: 'the processors have no performance monitors' },
  { line: /^\/cpus\/cpu@[0-9a-f]+ compatible/, why: 'the processors are no Cortex-A57' },
  { line: /^\/intc@8000000 interrupts/, why: 'the guest has no EL2, and no maintenance interrupt of the GIC' },
]

function qemuTree(board: ArmBoard): Uint8Array {
  const folder = temporaryFolder('tree')
  const file = join(folder, 'tree')
  const el2 = board.psciConduit === 'smc' ? ',virtualization=on' : ''
  const machine = `virt,gic-version=${board.gic ?? 3}${el2},dumpdtb=${file}`
  const memory = `${board.memoryBytes / MIB}`
  spawnSync('qemu-system-aarch64', ['-M', machine, '-cpu', 'max', '-smp', `${board.cpus}`, '-m', memory])
  return readFileSync(file)
}

const BOARDS: readonly ArmBoard[] = [
  { cpus: 1, memoryBytes: 512 * MIB },
  { cpus: 4, memoryBytes: 2048 * MIB },
  { cpus: 64, memoryBytes: 512 * MIB },
  { cpus: 4, memoryBytes: 512 * MIB, gic: 2 },
  { cpus: 8, memoryBytes: 512 * MIB, gic: 2 },
  { cpus: 2, memoryBytes: 512 * MIB, psciConduit: 'smc' },
]
const seeds = { rngSeed: new Uint8Array(32), kaslrSeed: new Uint8Array(8) }
const label = (board: ArmBoard): string =>
  `${board.cpus} processors, GICv${board.gic ?? 3}, ${board.psciConduit ?? 'hvc'}`

describe.skipIf(!hasQemu)(
  `the tree has the content of QEMU's${skipNote(hasQemu, 'there is no qemu-system-aarch64')}`,
  () => {
    test.each(BOARDS.map((board) => ({ name: label(board), board })))('$name', ({ board }) => {
      const ours = contentOf(armDeviceTree(board, seeds))
      const theirs = contentOf(qemuTree(board))
      const found: string[] = []
      for (const line of new Set([...ours.keys(), ...theirs.keys()])) {
        if (ours.get(line) === theirs.get(line) || DIFFERENCES.some((row) => row.line.test(line))) continue
        found.push(`${line}: ${ours.get(line)}, QEMU ${theirs.get(line)}`)
      }
      expect(found).toEqual([])
      expect(ours.get('/pcie@10000000 msi-map')).toBe(theirs.get('/pcie@10000000 msi-map'))
    })

    test('every difference is one', () => {
      const lines = [BOARDS[1]!, BOARDS[3]!, BOARDS[5]!].flatMap((board) => {
        const ours = contentOf(armDeviceTree(board, seeds))
        const theirs = contentOf(qemuTree(board))
        return [...new Set([...ours.keys(), ...theirs.keys()])].filter((line) => ours.get(line) !== theirs.get(line))
      })
      const idle = DIFFERENCES.filter((row) => !lines.some((line) => row.line.test(line)))
      expect(idle).toEqual([])
    })
  },
)

test.skipIf(!hasDtc)(`dtc has no complaint${skipNote(hasDtc, 'there is no dtc')}`, () => {
  for (const board of BOARDS) {
    const blob = armDeviceTree(board, { ...seeds, commandLine: 'a', initrd: { gpa: 0x4400_0000, bytes: 5 } })
    const { stderr, status } = spawnSync('dtc', ['-I', 'dtb', '-O', 'dtb', '-o', '/dev/null'], { input: blob })
    expect([stderr.toString(), status]).toEqual(['', 0])
  }
})

test.each([MIB, 0x40_1000_0000 - 0x4000_0000])('memory of %d bytes is told of', (memoryBytes) => {
  const reg = Buffer.from(contentOf(armDeviceTree({ cpus: 1, memoryBytes })).get('/memory@40000000 reg')!, 'hex')
  expect([reg.readBigUInt64BE(0), reg.readBigUInt64BE(8)]).toEqual([0x4000_0000n, BigInt(memoryBytes)])
})

test('/chosen has what the loader tells', () => {
  const commandLine = 'console=ttyAMA0'
  const board = { cpus: 1, memoryBytes: 64 * MIB }
  const content = contentOf(armDeviceTree(board, { commandLine, initrd: { gpa: 0x1_4400_0000, bytes: 0x1234 } }))
  const chosen = [...content].filter(([line]) => line.startsWith('/chosen '))
  expect(Object.fromEntries(chosen)).toEqual({
    '/chosen stdout-path': Buffer.from('/pl011@9000000\0').toString('hex'),
    '/chosen bootargs': Buffer.from('console=ttyAMA0\0').toString('hex'),
    '/chosen linux,initrd-start': '0000000144000000',
    '/chosen linux,initrd-end': '0000000144001234',
  })
})

test.each([
  { board: { cpus: 0, memoryBytes: MIB }, message: 'cpus 0: expected 1 to 64 with a GICv3' },
  { board: { cpus: 65, memoryBytes: MIB }, message: 'cpus 65: expected 1 to 64 with a GICv3' },
  { board: { cpus: 9, memoryBytes: MIB, gic: 2 as const }, message: 'cpus 9: expected 1 to 8 with a GICv2' },
  { board: { cpus: 1, memoryBytes: MIB - 4096 }, message: 'memoryBytes 1044480: expected whole 4 KiB pages' },
  { board: { cpus: 1, memoryBytes: MIB + 1 }, message: 'memoryBytes 1048577: expected whole 4 KiB pages' },
  {
    board: { cpus: 1, memoryBytes: 0x40_1000_0000 - 0x4000_0000 + 4096 },
    message: 'memoryBytes 274072604672: expected whole 4 KiB pages, from 1048576 to 274072600576',
  },
  ...[
    { base: 0x1000_0000, bytes: 4096, message: 'a place from 0xb000000 to 0xfffffff' },
    { base: 0xb00_0000, bytes: 0, message: 'a place from 0xb000000 to 0xfffffff' },
    { base: 0xb00_0000, bytes: 16, spi: 111, message: 'SPI 111: expected 112 to 255' },
    { base: 0xb00_0000, bytes: 16, compatible: [], message: 'expected names of drivers' },
  ].map(({ message, ...node }) => ({
    board: { cpus: 1, memoryBytes: MIB, deviceNodes: [{ compatible: ['acme,lamp'], ...node }] },
    message,
  })),
])('$board is refused', ({ board, message }) => {
  expect(() => armDeviceTree(board)).toThrow(message)
})

test('a command line is as long as the kernel takes', () => {
  const board = { cpus: 1, memoryBytes: 64 * MIB }
  const commandLine = 'x'.repeat(2047)
  const bootargs = contentOf(armDeviceTree(board, { commandLine })).get('/chosen bootargs')
  expect(bootargs).toBe(`${'78'.repeat(2047)}00`)
  expect(() => armDeviceTree(board, { commandLine: `${commandLine}x` })).toThrow(
    'command line: 2048 bytes, expected at most 2047',
  )
})

test('a board without an ITS has none in its tree', () => {
  const content = contentOf(armDeviceTree({ cpus: 1, memoryBytes: MIB, its: false }))
  expect([...content.keys()].filter((line) => /its@|msi/.test(line))).toEqual([])
  expect(content.get('/intc@8000000 #redistributor-regions')).toBe('00000001')
})

test('devices of the caller’s have nodes, by which a driver is found', () => {
  const deviceNodes = [
    { compatible: ['acme,lamp-2', 'acme,lamp'], base: 0xb00_0000, bytes: 0x1000, spi: 112 },
    { compatible: ['acme,dial'], base: 0xb00_1000, bytes: 16 },
  ]
  const content = contentOf(armDeviceTree({ cpus: 1, memoryBytes: MIB, deviceNodes }))
  expect(Object.fromEntries([...content].filter(([line]) => /^\/device@\w+ /.test(line)))).toEqual({
    '/device@b000000 compatible': Buffer.from('acme,lamp-2\0acme,lamp\0').toString('hex'),
    '/device@b000000 reg': '000000000b0000000000000000001000',
    '/device@b000000 interrupts': '000000000000007000000004',
    '/device@b001000 compatible': Buffer.from('acme,dial\0').toString('hex'),
    '/device@b001000 reg': '000000000b0010000000000000000010',
  })
})

test('without flash memories there is no node of them', () => {
  const board = { cpus: 1, memoryBytes: 512 * MIB }
  const nodes = (tree: Uint8Array): string[] => [...contentOf(tree).keys()].filter((line) => line.startsWith('/flash@'))
  expect(nodes(armDeviceTree(board))).not.toEqual([])
  expect(nodes(armDeviceTree({ ...board, flash: false }))).toEqual([])
})

test.each([
  // The third cell: level, low; and with a GICv2 the processors that have the interrupt.
  { gic: 3 as const, third: '00000008' },
  { gic: 2 as const, third: '00000308' },
])('a board with Xen and a GICv$gic has the node that guests look for', ({ gic, third }) => {
  const board: ArmBoard = { cpus: 2, memoryBytes: MIB, gic }
  const content = contentOf(armDeviceTree({ ...board, hypervisor: 'xen' }))
  const text = (...strings: string[]): string =>
    Buffer.from(strings.map((each) => `${each}\0`).join('')).toString('hex')
  expect(content.get('/hypervisor compatible')).toBe(text('xen,xen-4.17', 'xen,xen'))
  expect(content.get('/hypervisor reg')).toBe('000000000b000000' + '0000000001000000')
  expect(content.get('/hypervisor interrupts')).toBe(`000000010000000f${third}`)
  expect([...contentOf(armDeviceTree(board)).keys()].filter((line) => line.includes('hypervisor'))).toEqual([])
})
