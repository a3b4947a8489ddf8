import { describe, expect, test } from 'vitest'
import * as fc from 'fast-check'
import { DeviceError } from '@retrap/device'
import * as index from '@retrap/ioreq'
import { IoreqError, type IoreqTransport, pciAddressHi } from '@retrap/ioreq'
import { makeMachine, recorder, STATUS } from './machine.ts'

const codeOf = (act: () => unknown): string => {
  try {
    act()
  } catch (error) {
    if (error instanceof IoreqError || error instanceof DeviceError) return error.code
    throw error
  }
  return 'ok'
}
const SILENT: IoreqTransport = { notify: () => {} }

describe('direct accesses to a synchronous model', () => {
  test('a port read is one call of the handler, cut to its size', () => {
    const model = recorder('com1', { ports: [0x3f8, 8] })
    const { dispatch } = makeMachine({}, [model])
    for (const [port, size, value] of [
      [0x3f8, 1, 0x00],
      [0x3fd, 1, 0x05],
      [0x3fa, 2, 0x0302],
      [0x3fc, 4, 0x07060504],
    ] as const) {
      expect(STATUS[dispatch.portRead(port, size)]).toBe('done')
      expect(dispatch.lo).toBe(value)
    }
    expect(model.log).toEqual(['r1@0', 'r1@5', 'r2@2', 'r4@4'])
  })

  test('a handler sees only the bytes that were written', () => {
    const model = recorder('com1', { ports: [0x3f8, 8] })
    const { dispatch } = makeMachine({}, [model])
    dispatch.portWrite(0x3f8, 1, 0x1234_5678)
    dispatch.portWrite(0x3f8, 2, 0x1234_5678)
    dispatch.portWrite(0x3f8, 4, -1)
    expect(model.log).toEqual(['w1@0=78', 'w2@0=5678', 'w4@0=ffffffff'])
  })

  test.each([
    { size: 1, lo: 0xff, hi: 0 },
    { size: 2, lo: 0xffff, hi: 0 },
    { size: 4, lo: 0xffff_ffff, hi: 0 },
    { size: 8, lo: 0xffff_ffff, hi: 0xffff_ffff },
  ])('an unclaimed read of $size bytes gives ones', ({ size, lo, hi }) => {
    const { dispatch } = makeMachine()
    expect(dispatch.mmioRead(0xfed0_0000, size)).toBe(index.STATUS_UNHANDLED)
    expect([dispatch.lo, dispatch.hi]).toEqual([lo, hi])
    if (size <= 4) {
      expect(dispatch.portRead(0x80, size)).toBe(index.STATUS_UNHANDLED)
      expect(dispatch.lo).toBe(lo)
    }
  })

  test('an access that leaves the claimed range is nobody’s', () => {
    const model = recorder('x', { ports: [0x100, 4], mmio: [0x1000, 4] })
    const { dispatch } = makeMachine({}, [model])
    expect(dispatch.portRead(0x102, 4)).toBe(index.STATUS_UNHANDLED)
    expect(dispatch.portWrite(0xff, 2, 0)).toBe(index.STATUS_UNHANDLED)
    expect(dispatch.mmioRead(0x1001, 4)).toBe(index.STATUS_UNHANDLED)
    expect(dispatch.mmioRead(0xffe, 4)).toBe(index.STATUS_UNHANDLED)
    expect(model.log).toEqual([])
  })

  test('an access over two adjoining ranges of one server is split between their models', () => {
    const low = recorder('low', { ports: [0x100, 2] })
    const high = recorder('high', { ports: [0x102, 2] })
    const { dispatch } = makeMachine({}, [low, high])
    expect(dispatch.portRead(0x100, 4)).toBe(index.STATUS_DONE)
    expect(dispatch.lo).toBe(0x01000100)
    dispatch.portWrite(0x101, 2, 0xaabb)
    expect([low.log, high.log]).toEqual([
      ['r2@0', 'w1@1=bb'],
      ['r2@0', 'w1@0=aa'],
    ])
  })

  test('of overlapping ranges the higher priority answers accesses that begin in it (port 0xCF9)', () => {
    const bridge = recorder('bridge', { ports: [0xcf8, 4] })
    const reset = recorder('reset', { ports: [0xcf9, 1] }, { priority: 1 })
    const { dispatch } = makeMachine({}, [bridge, reset])
    dispatch.portWrite(0xcf9, 1, 6)
    dispatch.portWrite(0xcf8, 4, 0x8000_1000)
    dispatch.portRead(0xcf8, 4)
    dispatch.portRead(0xcfa, 1)
    expect(reset.log).toEqual(['w1@0=6'])
    expect(bridge.log).toEqual(['w4@0=80001000', 'r4@0', 'r1@2'])
  })

  test('overlap at equal priority is refused, and the model claims nothing', () => {
    const { dispatch, host } = makeMachine({}, [recorder('first', { ports: [0x60, 1] })])
    const clash = recorder('second', { ports: [0x70, 2] })
    const attach = clash.attach.bind(clash)
    clash.attach = (context) => {
      attach(context)
      context.mapPorts(0x60, 5, { read: () => 0, write: () => {} })
    }
    expect(codeOf(() => host.attach(clash))).toBe('ERR_EXISTS')
    expect(dispatch.portRead(0x70, 1)).toBe(index.STATUS_UNHANDLED)
    expect(host.models()).toHaveLength(1)
    expect(codeOf(() => host.attach(recorder('first', {})))).toBe('ERR_EXISTS')
  })
})

describe('access sizes that a range declares', () => {
  const read = [
    { options: { maximumAccess: 1 }, at: 0, size: 4, calls: ['r1@0', 'r1@1', 'r1@2', 'r1@3'] },
    { options: { maximumAccess: 2 }, at: 1, size: 4, calls: ['r2@1', 'r2@3'] },
    { options: {}, at: 0, size: 8, calls: ['r4@0', 'r4@4'] },
    { options: {}, at: 4, size: 3, calls: ['r2@4', 'r1@6'] },
    { options: {}, at: 1, size: 7, calls: ['r4@1', 'r2@5', 'r1@7'] },
    { options: { maximumAccess: 8 }, at: 8, size: 8, calls: ['r8@8'] },
    { options: { maximumAccess: 8 }, at: 8, size: 5, calls: ['r4@8', 'r1@12'] },
    { options: { minimumAccess: 4 }, at: 5, size: 1, calls: ['r4@4'] },
    { options: { minimumAccess: 4 }, at: 6, size: 4, calls: ['r4@6'] },
    { options: { minimumAccess: 4 }, at: 7, size: 2, calls: ['r4@4', 'r4@8'] },
    { options: { minimumAccess: 2 }, at: 3, size: 1, calls: ['r2@2'] },
  ] as const
  test.each(read)('$options: a read of $size at $at is $calls', ({ options, at, size, calls }) => {
    const model = recorder('x', { mmio: [0x8000, 0x100] }, options)
    const { dispatch } = makeMachine({}, [model])
    expect(dispatch.mmioRead(0x8000 + at, size)).toBe(index.STATUS_DONE)
    let expected = 0n
    for (let i = 0; i < size; i++) expected |= BigInt(at + i) << BigInt(8 * i)
    expect((BigInt(dispatch.hi) << 32n) | BigInt(dispatch.lo)).toBe(expected)
    expect(model.log).toEqual(calls)
  })

  const write = [
    { options: { maximumAccess: 1 }, at: 2, size: 2, calls: ['w1@2=77', 'w1@3=66'] },
    { options: {}, at: 0, size: 8, calls: ['w4@0=44556677', 'w4@4=112233'] },
    { options: { maximumAccess: 8 }, at: 0, size: 8, calls: ['w8@0=112233:44556677'] },
    { options: { minimumAccess: 4 }, at: 5, size: 1, calls: ['r4@4', 'w4@4=7067704'] },
    { options: { minimumAccess: 4 }, at: 6, size: 2, calls: ['r4@4', 'w4@4=66770504'] },
  ] as const
  test.each(write)('$options: a write of $size at $at is $calls', ({ options, at, size, calls }) => {
    const model = recorder('x', { mmio: [0x8000, 0x100] }, options)
    const { dispatch } = makeMachine({}, [model])
    expect(dispatch.mmioWrite(0x8000 + at, size, 0x4455_6677, 0x0011_2233)).toBe(index.STATUS_DONE)
    expect(model.log).toEqual(calls)
  })

  test.each([
    [{ maximumAccess: 2, minimumAccess: 4 }, 'ERR_INVALID'],
    [{ minimumAccess: 4 }, 'ok'],
  ] as const)('%o: %s', (options, code) => {
    const { host } = makeMachine()
    expect(codeOf(() => host.attach(recorder('x', { mmio: [0, 16] }, options)))).toBe(code)
  })

  test.each([
    ['neither', {}, 'ERR_INVALID'],
    ['read64', { read64: () => {} }, 'ERR_INVALID'],
    ['write64', { write64: () => {} }, 'ERR_INVALID'],
    ['both', { read64: () => {}, write64: () => {} }, 'ok'],
  ] as const)('maximumAccess 8 needs both 8-byte handlers; with %s', (_which, handlers, code) => {
    const { host } = makeMachine()
    const attach = (context: Parameters<Parameters<typeof host.attach>[0]['attach']>[0]): void => {
      context.mapMmio(0, 8, { read: () => 0, write: () => {}, ...(handlers as object) }, { maximumAccess: 8 })
    }
    expect(codeOf(() => host.attach({ name: 'x', attach }))).toBe(code)
  })
})

describe('regions', () => {
  test('disable, enable, move and unmap take effect with the next access', () => {
    const { dispatch, host } = makeMachine()
    let region!: ReturnType<Parameters<Parameters<typeof host.attach>[0]['attach']>[0]['mapPorts']>
    host.attach({
      name: 'x',
      attach: (c) => (region = c.mapPorts(0x100, 4, { read: () => 0x5a, write: () => {} }, { disabled: true })),
    })
    const answers = (port: number): boolean => dispatch.portRead(port, 1) === index.STATUS_DONE
    expect(answers(0x100)).toBe(false)
    region.enable()
    expect(answers(0x100)).toBe(true)
    region.move(0x200)
    expect([answers(0x100), answers(0x200), region.base]).toEqual([false, true, 0x200])
    region.disable()
    expect(answers(0x200)).toBe(false)
    region.enable()
    region.unmap()
    expect(answers(0x200)).toBe(false)
  })

  test('a move onto another device is refused and changes nothing', () => {
    const { dispatch, host } = makeMachine({}, [recorder('a', { ports: [0x100, 4] })])
    let region!: { move(base: number): void }
    host.attach({ name: 'b', attach: (c) => (region = c.mapPorts(0x200, 4, { read: () => 1, write: () => {} })) })
    expect(codeOf(() => region.move(0xfd))).toBe('ERR_EXISTS')
    expect(codeOf(() => region.move(0xffff))).toBe('ERR_INVALID')
    expect(dispatch.portRead(0x200, 4)).toBe(index.STATUS_DONE)
  })

  test('the hypervisor’s own ranges come before any server’s', () => {
    const model = recorder('x', { ports: [0x20, 2], mmio: [0xfee0_0000, 0x2000] })
    const { dispatch } = makeMachine({}, [model])
    dispatch.mapInternalPorts('pic', 0x20, 2, { read: () => 0x11, write: () => {} })
    const apic = dispatch.mapInternalMmio('apic', 0xfee0_0000, 0x1000, { read: () => 0x22, write: () => {} })
    dispatch.portRead(0x21, 1)
    expect(dispatch.lo).toBe(0x11)
    dispatch.mmioRead(0xfee0_0020, 4)
    expect(dispatch.lo).toBe(0x22)
    expect(model.log).toEqual([])
    dispatch.mmioRead(0xfee0_1000, 4)
    apic.disable()
    dispatch.mmioRead(0xfee0_0020, 4)
    expect(model.log).toEqual(['r4@4096', 'r4@32'])
  })

  test('a lookup agrees with a naive one for random claims', () => {
    const range = fc.record({ base: fc.nat(120), length: fc.integer({ min: 1, max: 30 }), priority: fc.nat(3) })
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12, size: 'max' }), (ranges) => {
        const { dispatch, host } = makeMachine()
        const kept: { base: number; end: number; priority: number; id: number }[] = []
        for (const [id, { base, length, priority }] of ranges.entries()) {
          const code = codeOf(() =>
            host.attach({
              name: `d${id}`,
              attach(c) {
                const handler = { read: () => id, write: () => {} }
                c.mapMmio(0x1000 + base, length, handler, { priority, maximumAccess: 1 })
                c.mapPorts(base, length, handler, { priority, maximumAccess: 1 })
              },
            }),
          )
          const clash = kept.some((k) => k.priority === priority && base < k.end && k.base < base + length)
          expect(code).toBe(clash ? 'ERR_EXISTS' : 'ok')
          if (!clash) kept.push({ base, end: base + length, priority, id })
        }
        const ownerAt = (at: number) =>
          kept.filter((k) => at >= k.base && at < k.end).toSorted((a, b) => b.priority - a.priority)[0]
        for (let at = 0; at < 155; at++) {
          // Who answers the first byte answers as much of the access as it has.
          const first = ownerAt(at)
          const second = ownerAt(at + 1)
          const all = [
            first?.id ?? null,
            second === undefined ? null : first && first.end > at + 1 ? first.id : second.id,
          ]
          const expected = all.includes(null) ? 'unhandled' : 'done'
          expect(STATUS[dispatch.portRead(at, 2)]).toBe(expected)
          if (expected === 'done') expect(dispatch.lo).toBe(all[0]! | (all[1]! << 8))
          expect(STATUS[dispatch.mmioRead(0x1000 + at, 2)]).toBe(expected)
          if (expected === 'done') expect(dispatch.lo).toBe(all[0]! | (all[1]! << 8))
        }
      }),
      { numRuns: 60 },
    )
  })
})

describe('servers and their precedence', () => {
  test('eight servers, lowest free id first', () => {
    const { dispatch } = makeMachine()
    const ids = Array.from({ length: 7 }, (_, i) => dispatch.createServer({ name: `s${i}`, transport: SILENT }))
    expect(ids.map((s) => s.id)).toEqual([1, 2, 3, 4, 5, 6, 7])
    expect(codeOf(() => dispatch.createServer({ name: 'ninth', transport: SILENT }))).toBe('ERR_NO_SPACE')
    ids[2]!.destroy()
    expect(dispatch.createServer({ name: 'again', transport: SILENT }).id).toBe(3)
    expect(codeOf(() => ids[2]!.mapRange(0, 0, 1))).toBe('ERR_NOT_FOUND')
    expect(codeOf(() => ids[2]!.setState(true))).toBe('ERR_NOT_FOUND')
  })

  test('the highest enabled id with the whole access wins; a reused id 0 is weakest though newest', () => {
    const { dispatch, host, request } = makeMachine()
    host.server.destroy()
    const answers: string[] = []
    const server = (name: string) => {
      const made = dispatch.createServer({
        name,
        transport: {
          notify(vcpu) {
            const slot = made.slot(vcpu)
            slot.accept(request({}))
            answers.push(name)
            slot.answer(0, 0)
            made.answered(vcpu)
          },
        },
      })
      made.mapRange(index.XEN_DMOP_IO_RANGE_PORT, 0x100, 0x10f)
      made.mapRange(index.XEN_DMOP_IO_RANGE_MEMORY, 0x1000, 0x1fff)
      made.setState(true)
      return made
    }
    const ask = (fields: object): string => {
      answers.length = 0
      dispatch.submit(
        0,
        request({ type: index.IOREQ_TYPE_PIO, direction: index.IOREQ_READ, addressLo: 0x100, ...fields }),
      )
      return answers.join()
    }
    const zero = server('zero')
    const one = server('one')
    expect(ask({})).toBe('one')
    one.unmapRange(index.XEN_DMOP_IO_RANGE_PORT, 0x102, 0x10f)
    expect(ask({ size: 4 })).toBe('zero')
    expect(ask({ size: 2 })).toBe('one')
    one.setState(false)
    expect(ask({ size: 2 })).toBe('zero')
    one.setState(true)
    zero.destroy()
    const newest = server('newest')
    expect(newest.id).toBe(0)
    expect(ask({ size: 1 })).toBe('one')
    expect(ask({ type: index.IOREQ_TYPE_COPY, addressLo: 0x1ffe, size: 4 })).toBe('')
    expect(ask({ type: index.IOREQ_TYPE_COPY, addressLo: 0x1ffc, size: 4 })).toBe('one')
  })

  test('a direct access to another process’ server does nothing and asks for a logged pass', () => {
    const { dispatch } = makeMachine()
    let notified = 0
    const server = dispatch.createServer({ name: 'far', transport: { notify: () => void notified++ } })
    server.mapRange(index.XEN_DMOP_IO_RANGE_PORT, 0x100, 0x103)
    server.mapRange(index.XEN_DMOP_IO_RANGE_MEMORY, 0x1000, 0x1003)
    server.mapRange(index.XEN_DMOP_IO_RANGE_PCI, 0x18, 0x18)
    server.setState(true)
    expect(dispatch.portRead(0x100, 1)).toBe(index.STATUS_RESTART)
    expect(dispatch.mmioWrite(0x1000, 4, 1, 0)).toBe(index.STATUS_RESTART)
    dispatch.portWrite(0xcf8, 4, 0x8000_1800)
    expect(dispatch.portRead(0xcfc, 4)).toBe(index.STATUS_RESTART)
    expect(notified).toBe(0)
  })

  test.each([
    ['a type that does not exist', 3, 0, 1, 'ERR_INVALID'],
    ['start above end', 0, 5, 1, 'ERR_INVALID'],
  ])('mapping %s: %s', (_, type, start, end, code) => {
    const { host } = makeMachine()
    expect(codeOf(() => host.server.mapRange(type, start, end))).toBe(code)
  })
})

describe('CF8 and CFC (reference: "Selection")', () => {
  const machine = () => {
    const made = makeMachine()
    const bridge = recorder('bridge', { ports: [0xcf8, 4] })
    made.host.attach(bridge)
    made.host.attach({
      name: 'nic',
      attach: (c) => void c.pci.add({ device: 3, vendorId: 0x8086, deviceId: 0x100e, classCode: 0x020000 }),
    })
    return { ...made, bridge }
  }
  test('a dword write is latched and still forwarded', () => {
    const { dispatch, bridge } = machine()
    dispatch.portWrite(0xcf8, 4, 0x8000_1800)
    expect(bridge.log).toEqual(['w4@0=80001800'])
    dispatch.portRead(0xcfc, 4)
    expect(dispatch.lo).toBe(0x100e_8086)
    dispatch.portRead(0xcfe, 2)
    expect(dispatch.lo).toBe(0x100e)
    dispatch.portRead(0xcff, 1)
    expect(dispatch.lo).toBe(0x10)
  })

  test('bytes and words are not latched', () => {
    const { dispatch } = machine()
    dispatch.portWrite(0xcf8, 4, 0x8000_1800)
    dispatch.portWrite(0xcf8, 1, 0x08)
    dispatch.portWrite(0xcf8, 2, 0x0008)
    dispatch.portWrite(0xcfb, 1, 0)
    expect(dispatch.config.value).toBe(0x8000_1800)
  })

  test('a function that is not there reads as ones', () => {
    const { dispatch } = machine()
    dispatch.portWrite(0xcf8, 4, 0x8000_2000)
    expect(dispatch.portRead(0xcfc, 4)).toBe(index.STATUS_UNHANDLED)
    expect(dispatch.lo).toBe(0xffff_ffff)
    expect(dispatch.portWrite(0xcfc, 4, 0)).toBe(index.STATUS_UNHANDLED)
  })

  test('the latch answers reads of 0xCF8 where there are functions and no bridge claims the port', () => {
    const { dispatch, host } = makeMachine()
    expect(dispatch.portWrite(0xcf8, 4, 0x8000_1800)).toBe(index.STATUS_UNHANDLED)
    expect(dispatch.portRead(0xcf8, 4)).toBe(index.STATUS_UNHANDLED)
    host.attach({ name: 'nic', attach: (c) => void c.pci.add({ device: 3, vendorId: 1, deviceId: 2, classCode: 0 }) })
    expect(dispatch.portRead(0xcf8, 4)).toBe(index.STATUS_DONE)
    expect(dispatch.lo).toBe(0x8000_1800)
    expect(dispatch.portRead(0xcf8, 2)).toBe(index.STATUS_UNHANDLED)
  })

  test('without bit 31, and outside of 0xCFC–0xCFF, it is a port like others', () => {
    const { dispatch, host } = machine()
    const data = recorder('data', { ports: [0xcfc, 4] })
    host.attach(data)
    dispatch.portWrite(0xcf8, 4, 0x0000_1800)
    dispatch.portRead(0xcfc, 4)
    expect(data.log).toEqual(['r4@0'])
    dispatch.portWrite(0xcf8, 4, 0x8000_1800)
    dispatch.portRead(0xcfc, 4)
    expect(data.log).toHaveLength(1)
  })

  test('a dword at 0xCFE goes on into the next register: the size does not matter', () => {
    const { dispatch } = machine()
    dispatch.portWrite(0xcf8, 4, 0x8000_1800 | 0x08)
    dispatch.portRead(0xcfe, 4)
    expect(dispatch.lo).toBe(0x0000_0200)
  })

  test('the latch is the domain’s: another vCPU’s write moves it', () => {
    const { dispatch, request } = machine()
    const cf8 = (vcpu: number, value: number) =>
      dispatch.submit(
        vcpu,
        request({ type: index.IOREQ_TYPE_PIO, direction: index.IOREQ_WRITE, addressLo: 0xcf8, size: 4, dataLo: value }),
      )
    const cfc = (vcpu: number) => {
      dispatch.submit(
        vcpu,
        request({ type: index.IOREQ_TYPE_PIO, direction: index.IOREQ_READ, addressLo: 0xcfc, size: 4 }),
      )
      return dispatch.lo
    }
    cf8(0, 0x8000_1800)
    cf8(1, 0x8000_1808)
    expect(cfc(0)).toBe(0x0200_0000)
    cf8(0, 0x8000_1800)
    expect(cfc(1)).toBe(0x100e_8086)
  })

  test('what is sent to a foreign server is a PCI_CONFIG request with segment, BDF and register', () => {
    const { dispatch, request } = machine()
    const seen = request({})
    const server = dispatch.createServer({ name: 'far', transport: { notify: (v) => server.slot(v).readInto(seen) } })
    server.mapRange(index.XEN_DMOP_IO_RANGE_PCI, 0x0ff, 0x0ff)
    server.setState(true)
    dispatch.config.extended = true
    dispatch.portWrite(0xcf8, 4, 0x8500_ff00 | 0x44)
    dispatch.submit(
      0,
      request({ type: index.IOREQ_TYPE_PIO, direction: index.IOREQ_WRITE, addressLo: 0xcfd, dataLo: 0x7f }),
    )
    expect(seen).toMatchObject({
      type: index.IOREQ_TYPE_PCI_CONFIG,
      direction: index.IOREQ_WRITE,
      addressHi: pciAddressHi(0, 0, 31, 7),
      addressLo: 0x545,
      size: 1,
      dataLo: 0x7f,
    })
  })
})

describe('string requests (count > 1)', () => {
  test.each([
    { df: false, first: 0x8000, calls: ['w2@0=1', 'w2@2=2', 'w2@4=3'], from: 0x100 },
    { df: true, first: 0x8004, calls: ['w2@4=3', 'w2@2=2', 'w2@0=1'], from: 0x104 },
  ])('pointer data, df=$df', ({ df, first, calls, from }) => {
    const model = recorder('x', { mmio: [0x8000, 6] })
    const { dispatch, ram, request } = makeMachine({}, [model])
    ram.set([1, 0, 2, 0, 3, 0], 0x100)
    const fields = { addressLo: first, dataLo: from, dataIsPointer: true, count: 3, size: 2, df }
    expect(dispatch.submit(0, request(fields))).toBe(index.STATUS_DONE)
    expect(model.log).toEqual(calls)
  })

  test('a read through a pointer fills guest memory; the port stays while memory moves', () => {
    let next = 0x41
    const { dispatch, ram, host, request } = makeMachine()
    host.attach({ name: 'x', attach: (c) => void c.mapPorts(0x60, 1, { read: () => next++, write: () => {} }) })
    const fields = {
      type: index.IOREQ_TYPE_PIO,
      direction: index.IOREQ_READ,
      addressLo: 0x60,
      dataLo: 0x200,
      dataIsPointer: true,
      count: 4,
    }
    expect(dispatch.submit(0, request(fields))).toBe(index.STATUS_DONE)
    expect(String.fromCharCode(...ram.subarray(0x200, 0x204))).toBe('ABCD')
  })

  test('without a pointer one value is repeated on writes, and the last is kept on reads', () => {
    const model = recorder('x', { mmio: [0x8000, 8] })
    const { dispatch, request } = makeMachine({}, [model])
    dispatch.submit(0, request({ addressLo: 0x8000, count: 3, size: 1, dataLo: 0x5a }))
    expect(model.log).toEqual(['w1@0=5a', 'w1@1=5a', 'w1@2=5a'])
    dispatch.submit(0, request({ direction: index.IOREQ_READ, addressLo: 0x8000, count: 3, size: 2 }))
    expect(dispatch.lo).toBe(0x0504)
  })

  test('a string of configuration reads', () => {
    const { dispatch, ram, host, request } = makeMachine()
    host.attach({
      name: 'nic',
      attach: (c) => void c.pci.add({ device: 3, vendorId: 0x1234, deviceId: 2, classCode: 0 }),
    })
    dispatch.portWrite(0xcf8, 4, 0x8000_1800)
    const fields = {
      type: index.IOREQ_TYPE_PIO,
      direction: index.IOREQ_READ,
      addressLo: 0xcfc,
      dataLo: 4,
      dataIsPointer: true,
      df: true,
    }
    expect(dispatch.submit(0, request({ ...fields, count: 3, size: 2 }))).toBe(index.STATUS_DONE)
    expect(Array.from(ram.subarray(0, 6))).toEqual([0x34, 0x12, 0x34, 0x12, 0x34, 0x12])
  })

  test('a string is its party’s, even where the hypervisor has some of its addresses', () => {
    const model = recorder('x', { mmio: [0x8000, 8] })
    const { dispatch, request } = makeMachine({}, [model])
    const inner: string[] = []
    const write = (offset: number, size: number): void => void inner.push(`w${size}@${offset}`)
    dispatch.mapInternalMmio('inner', 0x8004, 2, { read: () => 0, write })
    dispatch.submit(0, request({ addressLo: 0x8002, count: 3, size: 2, dataLo: 7 }))
    expect(model.log).toEqual(['w2@2=7', 'w2@4=7', 'w2@6=7'])
    expect(inner).toEqual([])
    dispatch.submit(0, request({ addressLo: 0x8004, count: 2, size: 1, dataLo: 7 }))
    expect(inner).toEqual(['w1@0', 'w1@1'])
  })

  test('an element that goes from one range into another is made of calls of both', () => {
    const low = recorder('low', { mmio: [0x8000, 6] })
    const high = recorder('high', { mmio: [0x8006, 6] })
    const { dispatch, request } = makeMachine({}, [low, high])
    dispatch.submit(0, request({ addressLo: 0x8000, count: 3, size: 4, dataLo: 0x4433_2211 }))
    expect(low.log).toEqual(['w4@0=44332211', 'w2@4=2211'])
    expect(high.log).toEqual(['w2@0=4433', 'w4@2=44332211'])
  })

  test('an access over the end of a range is made of two calls, by every way in', () => {
    const low = recorder('low', { mmio: [0x8000, 6], ports: [0x100, 6] })
    const high = recorder('high', { mmio: [0x8006, 6], ports: [0x106, 6] })
    const { dispatch } = makeMachine({}, [low, high])
    const ways: (() => number)[] = [
      () => dispatch.mmioRead(0x8004, 4),
      () => dispatch.mmioReadOrSend(0, 0x8004, 4),
      () => dispatch.mmioWrite(0x8004, 4, 0x4433_2211, 0),
      () => dispatch.portRead(0x104, 4),
      () => dispatch.portReadOrSend(0, 0x104, 4),
      () => dispatch.portWrite(0x104, 4, 0x4433_2211),
    ]
    for (const way of ways) expect(way()).toBe(index.STATUS_DONE)
    const [reads, writes] = [['r2@4', 'r2@4'], ['w2@4=2211']] as const
    expect(low.log).toEqual([...reads, ...writes, ...reads, ...writes])
    expect(high.log).toHaveLength(6)
    const ends = [0x8002, 0x8003].map((gpa) => dispatch.answersAtOnce(gpa, 4, 4))
    expect(ends).toEqual([true, false])
  })

  test('elements follow a range that one of them moves', () => {
    const { dispatch, host, request } = makeMachine()
    const log: string[] = []
    host.attach({
      name: 'x',
      attach: (c) => {
        const lower = (value: number): void => void log.push(`lower ${value}`)
        c.mapMmio(0x8000, 8, { read: () => 0, write: (offset) => lower(offset) })
        const upper = c.mapMmio(
          0x8000,
          8,
          {
            read: () => 0,
            write: (offset) => {
              log.push(`upper ${offset}`)
              upper.move(0x9000)
            },
          },
          { priority: 1 },
        )
      },
    })
    dispatch.submit(0, request({ addressLo: 0x8000, count: 3, size: 2 }))
    expect(log).toEqual(['upper 0', 'lower 2', 'lower 4'])
  })

  test.each(['crash', 'detach'] as const)('a model that fails in an element, policy %s', (policy) => {
    const { dispatch, host, ram, failures, request } = makeMachine({ policy })
    let reads = 0
    const read = (): number => (++reads === 2 ? NaN : 0x1_0041)
    host.attach({ name: 'x', attach: (c) => void c.mapMmio(0x8000, 8, { read, write: () => {} }) })
    const fields = {
      direction: index.IOREQ_READ,
      addressLo: 0x8000,
      dataLo: 0x200,
      dataIsPointer: true,
      count: 4,
      size: 2,
    }
    expect(dispatch.submit(0, request(fields))).toBe(policy === 'crash' ? index.STATUS_ERROR : index.STATUS_DONE)
    expect(failures.map(({ request: what }) => what)).toEqual(['mmio read of 2 bytes at 0x8002'])
    const after = policy === 'crash' ? [0, 0, 0, 0, 0, 0] : [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]
    expect([...ram.subarray(0x200, 0x208)]).toEqual([0x41, 0, ...after])
    expect(dispatch.count).toBe(policy === 'crash' ? 1 : 4)
  })

  test('a string over the end of a range belongs to nobody', () => {
    const model = recorder('x', { mmio: [0x8000, 8] })
    const { dispatch, request } = makeMachine({}, [model])
    expect(dispatch.submit(0, request({ addressLo: 0x8004, count: 3, size: 2 }))).toBe(index.STATUS_UNHANDLED)
    expect(dispatch.submit(0, request({ addressLo: 0x8002, count: 3, size: 2, df: true }))).toBe(index.STATUS_UNHANDLED)
    expect(model.log).toEqual([])
  })

  test.each([0, 3, 5, 16])('an element of %i bytes never reaches a model', (size) => {
    const model = recorder('x', { mmio: [0x8000, 64] })
    const { dispatch, request } = makeMachine({}, [model])
    expect(dispatch.submit(0, request({ direction: index.IOREQ_READ, addressLo: 0x8000, size }))).toBe(
      index.STATUS_UNHANDLED,
    )
    expect(model.log).toEqual([])
  })
})

describe('a range', () => {
  test.each([
    { kind: 'ports', base: 0xfff0, length: 16, good: true },
    { kind: 'ports', base: 0xfff0, length: 17, good: false },
    { kind: 'ports', base: 0, length: 0x1_0000, good: true },
    { kind: 'ports', base: -1, length: 4, good: false },
    { kind: 'ports', base: 0x80, length: 0, good: false },
    { kind: 'ports', base: 0x80, length: 1.5, good: false },
    { kind: 'ports', base: 0x80, length: NaN, good: false },
    { kind: 'ports', base: 0.5, length: 4, good: false },
    { kind: 'memory', base: 2 ** 52 - 4096, length: 4096, good: true },
    { kind: 'memory', base: 2 ** 52 - 4096, length: 4097, good: false },
    { kind: 'memory', base: 2 ** 53, length: 4, good: false },
    { kind: 'memory', base: 0xfed0_0000, length: 2 ** 53, good: false },
  ])('of $kind from $base, $length long, is possible: $good', ({ kind, base, length, good }) => {
    const { dispatch } = makeMachine()
    const handler = { read: () => 0, write: () => {} }
    const map = (): unknown =>
      kind === 'ports'
        ? dispatch.mapInternalPorts('range', base, length, handler)
        : dispatch.mapInternalMmio('range', base, length, handler)
    expect(codeOf(map)).toBe(good ? 'ok' : 'ERR_INVALID')
  })
})
