/** What a trace may be restricted to. */
import { expect, test } from 'vitest'
import { parseTrace, TRACE_KINDS, TraceError } from '../src/index.ts'
import { lets, type TraceSpec } from '../src/spec.ts'

const FILTERS: Readonly<Record<string, string>> = {
  insn: 'vcpu address cpl limit',
  block: 'vcpu address cpl limit',
  irq: 'vcpu address cpl vector limit',
  exceptions: 'vcpu address cpl vector limit',
  pagewalk: 'vcpu address limit',
  ioreq: 'vcpu address device limit',
}
const ALL = ['vcpu', 'address', 'cpl', 'vector', 'device', 'limit']

test.each(Object.entries(FILTERS))('%s takes %s', (kind, filters) => {
  expect(TRACE_KINDS).toEqual(Object.keys(FILTERS))
  expect(parseTrace(kind)).toEqual({ kind })
  for (const name of ALL) {
    const parse = () => parseTrace(`${kind},${name}=1`)
    if (filters.split(' ').includes(name)) expect(Object.keys(parse())).toEqual(['kind', name])
    else expect(parse).toThrow(`trace ${kind} has no filter '${name}': expected ${filters.replaceAll(' ', ', ')}`)
  }
})

test.each<[string, Partial<TraceSpec>]>([
  ['irq,vcpu=0', { vcpu: 0 }],
  ['irq,vcpu=0x1F', { vcpu: 31 }],
  ['irq,cpl=3', { cpl: 3 }],
  ['irq,vector=0xffffff', { vector: 0xff_ffff }],
  ['irq,limit=9007199254740991', { limit: Number.MAX_SAFE_INTEGER }],
  ['irq,address=0xffffffffffffffff', { address: { first: 2n ** 64n - 1n, last: 2n ** 64n - 1n } }],
  ['irq,address=0x7c00-31745', { address: { first: 0x7c00n, last: 0x7c01n } }],
  ['ioreq,device=ide,limit=5', { device: 'ide', limit: 5 }],
  ['irq,address=16-0x10,cpl=0', { address: { first: 16n, last: 16n }, cpl: 0 }],
  ['ioreq,device=a=b', { device: 'a=b' }],
])('%s', (text, spec) => {
  expect(parseTrace(text)).toEqual({ kind: text.split(',')[0], ...spec })
})

test.each([
  ['', "trace '' is unknown: expected insn, block, irq, exceptions, pagewalk, ioreq"],
  ['INSN', "trace 'INSN' is unknown"],
  ['irq,cpl=4', "trace irq: cpl '4': expected a whole number up to 3, such as 3 or 0x3"],
  ['irq,vector=0x1000000', 'expected a whole number up to 16777215'],
  ['irq,vcpu=9007199254740992', 'expected a whole number, such as'],
  ['irq,vcpu=-1', "vcpu '-1'"],
  ['irq,vcpu=1.5', "vcpu '1.5'"],
  ['irq,vcpu', "vcpu ''"],
  ['irq,vcpu=', "vcpu ''"],
  ['irq,vcpu=0x', "vcpu '0x'"],
  ['insn,limit=-1', "trace insn: limit '-1': expected a whole number, such as 3 or 0x3"],
  ['insn,address=1-', "trace insn: address '1-': expected an address, or FIRST-LAST, such as 0x7c00-0x7dff"],
  ['irq,address=1-2-3', "address '1-2-3'"],
  ['irq,address=2-1', "address '2-1'"],
  ['irq,address=-1', "address '-1'"],
  ['irq,address=x', "address 'x'"],
  ['ioreq,device', "device '': expected a device's name"],
])('%s is refused: %s', (text, why) => {
  expect(() => parseTrace(text)).toThrow(TraceError)
  expect(() => parseTrace(text)).toThrow(why)
})

const SUBJECT = { vcpu: 1, cpl: 3, address: 0x1000n, vector: 14, device: 'disk' }

test.each<[Partial<TraceSpec>, boolean]>([
  [{}, true],
  [{ vcpu: 1, cpl: 3, vector: 14, device: 'disk', address: { first: 0x1000n, last: 0x1000n } }, true],
  [{ address: { first: 0xfffn, last: 0x1000n } }, true],
  [{ address: { first: 0x1000n, last: 0x1001n } }, true],
  [{ address: { first: 0x1001n, last: 0x1002n } }, false],
  [{ address: { first: 0xffen, last: 0xfffn } }, false],
  [{ vcpu: 0 }, false],
  [{ cpl: 0 }, false],
  [{ vector: 13 }, false],
  [{ device: 'disks' }, false],
])('%o lets it through: %s', (spec, through) => {
  expect(lets({ kind: 'irq', ...spec }, SUBJECT)).toBe(through)
  // Beside filters that let it through: all of them have to.
  expect(lets({ kind: 'irq', vcpu: 1, cpl: 3, vector: 14, device: 'disk', ...spec }, SUBJECT)).toBe(through)
})
