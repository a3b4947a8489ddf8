import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { armSmbios } from '../../src/arm/firmware-configuration.ts'

const GIB = 2 ** 30
const hasDmidecode = hasProgram('dmidecode')
const TABLES_AT = 0x20

test('the checksum holds before firmware fills in an address', () => {
  const { anchor, tables } = armSmbios({ cpus: 4, memoryBytes: GIB })
  expect(anchor.reduce((sum, byte) => sum + byte, 0) & 0xff).toBe(0)
  expect([anchor.length, new DataView(anchor.buffer).getUint32(0x0c, true)]).toEqual([24, tables.length])
})

test.skipIf(!hasDmidecode)(`dmidecode reads the tables${skipNote(hasDmidecode, 'there is no dmidecode')}`, () => {
  const { anchor, tables } = armSmbios({ cpus: 4, memoryBytes: 3 * GIB })
  const dump = new Uint8Array(TABLES_AT + tables.length)
  // What firmware does: the address, and the sum.
  new DataView(anchor.buffer).setBigUint64(0x10, BigInt(TABLES_AT), true)
  anchor[5]! -= TABLES_AT
  dump.set(anchor)
  dump.set(tables, TABLES_AT)
  const folder = temporaryFolder('smbios')
  const path = join(folder, 'dump')
  writeFileSync(path, dump)
  const text = execFileSync('dmidecode', ['--from-dump', path], { encoding: 'utf8', stdio: 'pipe' })
  expect(text).toContain('SMBIOS 3.0.0 present.')
  expect(text).toContain('Product Name: retrap Arm board')
  expect(text).toContain('Core Count: 4\n')
  expect(text).toMatch(/Starting Address: 0x0*40000000\n\tEnding Address: 0x0*FFFFFFFF\n\tRange Size: 3 GB/)
  expect(text).toContain('End Of Table')
  expect(text).not.toMatch(/broken|bad|invalid|OUT OF SPEC|TRUNCATED/i)
})
