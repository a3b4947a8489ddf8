/** What a line says of a page walk. */
import { ACCESS_FETCH, ACCESS_USER, ACCESS_WRITE } from '@retrap/paging'
import { expect, test } from 'vitest'
import { formatRecord, type TraceRecord } from '../src/index.ts'

const at = { kind: 'pagewalk', vcpu: 2, ns: 1_500_000_001, instructions: 42, linear: 0x1000n, reads: 4 } as const
const line = (walk: object): string => formatRecord({ ...at, ...walk } as unknown as TraceRecord)

test.each([
  [{ access: 0, gpa: 0x12_3abc, pageBytes: 4096 }, 'supervisor read → gpa 0x123abc, page of 4 KiB'],
  [{ access: ACCESS_WRITE, gpa: 0, pageBytes: 2 << 20 }, 'supervisor write → gpa 0x0, page of 2048 KiB'],
  [{ access: ACCESS_USER, gpa: 2 ** 40, pageBytes: 4096 }, 'user read → gpa 0x10000000000, page of 4 KiB'],
  [{ access: ACCESS_USER | ACCESS_FETCH, errorCode: 0x15 }, 'user fetch → #PF error 0x15'],
  [{ access: ACCESS_USER | ACCESS_WRITE, errorCode: 7 }, 'user write → #PF error 0x7'],
  [{ access: ACCESS_WRITE, faultStatus: 0x2c }, 'supervisor write → fault status 0x2c'],
])('%j: %s', (walk, text) => {
  const said = line(walk)
  expect(said.startsWith('[1.500000001 #42] vcpu 2 ')).toBe(true)
  expect(said.endsWith(`${text}, 4 entries read`)).toBe(true)
})
