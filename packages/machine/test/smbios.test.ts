import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { buildSmbios } from '../src/firmware/smbios.ts'

const MIB = 1 << 20
const GIB = 1 << 30
const TABLES_AT = 0x20

const hasDmidecode = hasProgram('dmidecode')
const scratch = temporaryFolder('smbios')

/** What firmware does with the entry point: it fills in the address and sums the bytes. */
function place(anchor: Uint8Array, address: number): void {
  const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => total + byte, 0)
  new DataView(anchor.buffer).setUint32(0x18, address, true)
  anchor[0x15]! -= sum(anchor.subarray(0x10))
  anchor[4]! -= sum(anchor)
}

/** What dmidecode says of the tables. */
function decode(board: Parameters<typeof buildSmbios>[0]): string {
  const { anchor, tables } = buildSmbios(board)
  place(anchor, TABLES_AT)
  const dump = new Uint8Array(TABLES_AT + tables.length)
  dump.set(anchor)
  dump.set(tables, TABLES_AT)
  const path = join(scratch, 'dump')
  writeFileSync(path, dump)
  return execFileSync('dmidecode', ['--from-dump', path], { encoding: 'utf8', stdio: 'pipe' })
}

test('the checksums hold before firmware fills in an address', () => {
  const { anchor } = buildSmbios({ cpus: 1, ram: [{ gpa: 0, bytes: 512 * MIB }] })
  expect(anchor.reduce((sum, byte) => sum + byte, 0) & 0xff).toBe(0)
  expect(anchor.subarray(0x10).reduce((sum, byte) => sum + byte, 0) & 0xff).toBe(0)
})

describe.runIf(hasDmidecode)(`dmidecode reads SMBIOS tables${skipNote(hasDmidecode, 'there is no dmidecode')}`, () => {
  test('of a small machine', () => {
    const text = decode({ cpus: 1, ram: [{ gpa: 0, bytes: 512 * MIB }] })
    expect(text).toContain('SMBIOS 2.8 present.')
    expect(text).toContain('8 structures occupying')
    expect(text).toContain('Product Name: retrap PC')
    expect(text).toContain('Core Count: 1\n')
    expect(text).toContain('Maximum Capacity: 512 MB')
    expect(text).toMatch(/Memory Device\n[^]*\tSize: 512 MB/)
    expect(text).toMatch(/Starting Address: 0x0+\n\tEnding Address: 0x0*1FFFFFFF\n\tRange Size: 512 MB/)
    expect(text).toContain('End Of Table')
    expect(text).not.toMatch(/broken|bad|invalid|OUT OF SPEC|TRUNCATED/i)
  })

  test('of one with RAM above 4 GiB and several processors', () => {
    const ram = [
      { gpa: 0, bytes: 3 * GIB },
      { gpa: 4 * GIB, bytes: GIB / 2 },
    ]
    const text = decode({ cpus: 4, ram })
    expect(text).toContain('Core Count: 4\n')
    expect(text).toContain('Maximum Capacity: 3584 MB')
    expect(text).toMatch(/Starting Address: 0x0*100000000\n\tEnding Address: 0x0*11FFFFFFF\n\tRange Size: 512 MB/)
    expect(text).not.toMatch(/broken|bad|invalid|OUT OF SPEC|TRUNCATED/i)
  })

  test('of memory that is not whole mebibytes', () => {
    const text = decode({ cpus: 1, ram: [{ gpa: 0, bytes: 3 * MIB + 4096 }] })
    expect(text).toMatch(/Memory Device\n[^]*\tSize: 3076 kB/)
  })
})
