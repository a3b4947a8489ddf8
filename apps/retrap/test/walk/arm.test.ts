import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { runFake } from '../support/run-fake.ts'

const folder = temporaryFolder('walk-arm')
const path = join(folder, 'dump')

/** Memory with entries of tables of the upper half: guest-physical address, index, entry. */
function memory(...entries: readonly (readonly [table: number, index: number, entry: bigint])[]): Uint8Array {
  const words = new BigUint64Array(0x1_0000 / 8)
  for (const [table, index, entry] of entries) words[table / 8 + index] = entry
  return new Uint8Array(words.buffer)
}

const BYTES = memory(
  [0x1000, 256, 0x2003n],
  [0x2000, 0, 0x3003n | (1n << 60n)],
  [0x3000, 64, 0x4003n],
  [0x3000, 65, 0x4020_0f25n | (1n << 53n)],
  [0x3000, 66, 0x9_0003n],
  [0x4000, 0, 0x5707n | (1n << 54n)],
  [0x4000, 1, 0x5787n],
  [0x4000, 2, 0x5307n],
)

async function walk(...args: readonly string[]) {
  writeFileSync(path, BYTES)
  const { code, stdout, stderr } = await runFake('walk', path, '--arch', 'arm64', ...args)
  return { code, lines: stdout.replaceAll(`${path}: `, '').split('\n'), stderr }
}

test('a walk of an Arm guest shows each descriptor, what may be done, and the memory', async () => {
  const addresses = ['0xffff800008000123', '0xffff800008200123']
  const { code, lines, stderr } = await walk(...addresses, '--ttbr1', '0x1000', '--mair', '0xff04')
  expect([code, stderr]).toEqual([0, ''])
  expect(lines).toEqual([
    'plain memory, AArch64, lower half off; upper half of 48 bits, 4 KiB granule, tables at 0x1000',
    '0xffff800008000123',
    '  L0     256  0x1800         0x0000000000002003  table',
    '  L1       0  0x2000         0x1000000000003003  table UXNTable',
    '  L2      64  0x3200         0x0000000000004003  table',
    '  L3       0  0x4000         0x0040000000005707  page AF UXN AttrIndx 1',
    '  = 0x5123, 4 KiB page, EL1 rwx, EL0 ---, global, Normal 0xff',
    '0xffff800008200123',
    '  L0     256  0x1800         0x0000000000002003  table',
    '  L1       0  0x2000         0x1000000000003003  table UXNTable',
    '  L2      65  0x3208         0x0020000040200f25  block AF nG PXN AttrIndx 1',
    '  = 0x40200123, 2 MiB page, EL1 rw-, EL0 ---, Normal 0xff',
    '',
  ])
})

test('faults say their kind and level, and tables that are not in the dump are named', async () => {
  const last = async (...args: string[]): Promise<string> => (await walk('--ttbr1', '0x1000', ...args)).lines.at(-2)!
  expect(await last('0xffff800008002000')).toBe('  = access flag fault of level 3, status 0xb')
  expect(await last('0xffff800008001000', '--access', 'write')).toBe('  = permission fault of level 3, status 0xf')
  expect(await last('0xffff800008000000', '--user')).toBe('  = permission fault of level 3, status 0xf')
  expect(await last('0xffff800008600000')).toBe('  = translation fault of level 2, status 0x6')
  expect(await last('0xffff800008400000')).toBe('  = the table at 0x90000 is not in the dump')
  expect(await last('0x1000')).toBe('  = translation fault of level 0, status 0x4')
})

test('36 bits of address begin at level 1, and its index has no more bits than there are', async () => {
  // T1SZ 28: 36 bits, of which the first table resolves 6.
  const { lines } = await walk('0xfffffff000000000', '--ttbr1', '0x2000', '--tcr', '0x5801c0010')
  expect(lines.slice(1, 3)).toEqual([
    '0xfffffff000000000',
    '  L1       0  0x2000         0x1000000000003003  table UXNTable',
  ])
})

test('all mappings are listed, with neighbours that are alike in one line', async () => {
  const { code, lines } = await walk('--all', '--ttbr1', '0x1000', '--mair', '0xff04')
  expect(code).toBe(0)
  expect(lines.slice(1)).toEqual([
    '0xffff800008000000-0xffff800008000fff  0x5000  4 KiB  EL1 rwx EL0 --- global Normal 0xff by 4 KiB',
    '0xffff800008001000-0xffff800008001fff  0x5000  4 KiB  EL1 r-x EL0 --- global Normal 0xff by 4 KiB',
    '0xffff800008002000-0xffff800008002fff  0x5000  4 KiB  EL1 rwx EL0 --- global not accessed Normal 0xff by 4 KiB',
    '0xffff800008200000-0xffff8000083fffff  0x40200000  2 MiB  EL1 rw- EL0 --- Normal 0xff by 2 MiB',
    '0xffff800008400000  the table at 0x90000 is not in the dump',
    '',
  ])
  const part = ['--all', '--ttbr1', '0x1000', '--start', '0xffff800008001800', '--stop', '0xffff800008200000']
  expect((await walk(...part)).lines.slice(1)).toEqual([
    '0xffff800008002000-0xffff800008002fff  0x5000  4 KiB  EL1 rwx EL0 --- global not accessed by 4 KiB',
    '',
  ])
  // Each page of a table of 512, and a block that follows it.
  const table = Array.from({ length: 512 }, (_, i) => [0x4000, i, 0x4000_0707n + BigInt(i) * 0x1000n] as const)
  BYTES.set(
    memory([0x1000, 0, 0x2003n], [0x2000, 0, 0x3003n], [0x3000, 0, 0x4003n], ...table, [0x3000, 1, 0x4020_0705n]),
  )
  expect((await walk('--all', '--ttbr0', '0x1000')).lines.slice(1)).toEqual([
    '0x0-0x1fffff  0x40000000  2 MiB  EL1 rwx EL0 --x global by 4 KiB',
    '0x200000-0x3fffff  0x40200000  2 MiB  EL1 rwx EL0 --x global by 2 MiB',
    '',
  ])
})

test('what is not there is refused', async () => {
  expect((await walk('0x0')).stderr).toContain('give --ttbr0 and --ttbr1')
  expect((await walk('0x0', '--cr3', '0x1000')).stderr).toContain('not there for --arch arm64')
  expect((await walk('--all', '--ttbr0', '0x1000', '--sctlr', '0')).stderr).toContain('with the MMU off')
})
