// Debugging with GDB, appendix E, "Remote Protocol".
import { describe, expect, test } from 'vitest'
import { GdbError, RegisterSet, Signal, x86Registers } from '../src/index.ts'
import { connect, FakeTarget, RAM_BYTES } from './support.ts'

describe('packets', () => {
  test.each([
    ['a right one is acknowledged and answered', '$qC#b4', '+$QC01#f5'],
    ['one in pieces of rubbish too', 'xx+$qC#b4', '+$QC01#f5'],
    ['a wrong checksum is not', '$qC#b5', '-'],
    ['a checksum that is no number', '$qC#zz', '-'],
    ['one that begins anew counts from there', '$qfThr$qC#b4', '+$QC01#f5'],
    ['an unknown one has an empty answer', '$jz#e4', '+$#00'],
    ['an empty one too', '$#00', '+$#00'],
    ['nothing', '', ''],
  ])('%s', async (_, bytes, answer) => expect(await connect().raw(bytes)).toBe(answer))

  test('a reply is sent again when it was damaged', async () => {
    const { raw } = connect()
    expect(await raw('-')).toBe('')
    await raw('$qC#b4')
    expect(await raw('-')).toBe('$QC01#f5')
  })

  test('without acknowledgements none are sent', async () => {
    const { raw, ask } = connect()
    expect(await ask('QStartNoAckMode')).toBe('OK')
    expect(await raw('$qC#b4$qC#00-')).toBe('$QC01#f5')
  })

  test('escapes are undone', async () => {
    const { target, raw } = connect()
    // X1,2:}\x03}\x04 is # and $.
    const body = 'X1,2:}\x03}\x04'
    let sum = 0
    for (const character of body) sum = (sum + character.charCodeAt(0)) & 0xff
    expect(await raw(`$${body}#${sum.toString(16).padStart(2, '0')}`)).toBe('+$OK#9a')
    expect([...target.memory.subarray(0, 4)]).toEqual([0, 0x23, 0x24, 0])
  })

  test('one that is too long is refused, and the next one is taken', async () => {
    const { raw } = connect()
    expect(await raw(`$${'m'.repeat(0x5000)}#00$qC#b4`)).toBe('-+$QC01#f5')
    const sum = ((0x6d * 0x5000) & 0xff).toString(16).padStart(2, '0')
    expect(await raw(`$${'m'.repeat(0x5000)}#${sum}`)).toBe('-')
  })

  test('a client that does not wait for replies is sent away', async () => {
    const { target, raw, isOver } = connect()
    await raw('$qC#b4'.repeat(100))
    expect(isOver()).toBe(true)
    expect(target.events).toEqual(['stop', 'detach'])
    expect(await raw('$qC#b4')).toBe('')
  })
})

describe('registers and memory', () => {
  test('all general registers, and each by number', async () => {
    const { target, ask } = connect()
    target.values.set('0rax', 0x1122_3344_5566_7788n)
    target.values.set('0st0', 0x3fff_8000_0000_0000_0000n)
    const all = await ask('g')
    expect(all.startsWith('8877665544332211')).toBe(true)
    expect(all.length).toBe(2 * (17 * 8 + 7 * 4 + 8 * 10 + 8 * 4 + 16 * 16 + 4 + 16 + 16 * 16))
    expect(await ask('p0')).toBe('8877665544332211')
    expect(await ask('p18')).toBe('0000000000000080ff3f')
    expect(await ask('p22')).toBe('xxxxxxxx')
    expect(await ask('pffff')).toBe('E16')
    expect(await ask('P1=0100000000000000')).toBe('OK')
    expect(target.values.get('0rbx')).toBe(1n)
    expect(await ask('P1=01')).toBe('E16')
    target.locked = true
    expect(await ask('P1=0200000000000000')).toBe('E10')
    expect(await ask(`G${all}`)).toBe('E10')
    target.locked = false
    expect(await ask('Gxx')).toBe('E16')
    expect(await ask(`G${'0f'.repeat(16)}`)).toBe('OK')
    expect(target.values.get('0rbx')).toBe(0x0f0f_0f0f_0f0f_0f0fn)
  })

  test('of the chosen thread', async () => {
    const { target, ask } = connect()
    target.values.set('1rax', 5n)
    expect(await ask('Hg2')).toBe('OK')
    expect(await ask('p0')).toBe('0500000000000000')
    for (const wrong of ['Hg3', 'Hgx', 'Hz1', 'H']) expect(await ask(wrong)).toBe('E16')
    expect([await ask('T2'), await ask('T3'), await ask('T-1')]).toEqual(['OK', 'E16', 'E16'])
  })

  test('memory, as much as there is', async () => {
    const { target, ask } = connect()
    target.memory.set([1, 2, 3], RAM_BYTES - 3)
    expect(await ask(`m${(RAM_BYTES - 3).toString(16)},8`)).toBe('010203')
    expect(await ask('m10000,1')).toBe('E0e')
    expect(await ask('mffffffffffffffff,4')).toBe('E0e')
    expect((await ask('m0,ffffffff')).length).toBe(0x3ff0)
    expect(await ask('M10,2:abcd')).toBe('OK')
    expect([...target.memory.subarray(16, 18)]).toEqual([0xab, 0xcd])
    expect(await ask('Mffff,2:abcd')).toBe('E0e')
    for (const wrong of ['m', 'm1', 'mx,1', 'm1,x', 'M1,2:ab', 'M1,1:zz', 'X1,2:a', 'M', `m${'1'.repeat(17)},1`])
      expect(await ask(wrong)).toBe('E16')
  })

  test('physical memory on request', async () => {
    const { ask } = connect()
    expect(await ask('qqemu.PhyMemMode')).toBe('0')
    expect(await ask('Qqemu.PhyMemMode:1')).toBe('OK')
    expect(await ask('m0,2')).toBe('9999')
    expect(await ask('M0,1:00')).toBe('E0e')
    expect(await ask('Qqemu.PhyMemMode:2')).toBe('E16')
  })
})

describe('breakpoints', () => {
  test('of both kinds are one on the target', async () => {
    const { target, ask } = connect()
    for (const packet of ['Z0,100,1', 'Z1,100,1', 'Z1,100,1', 'z0,100,1']) expect(await ask(packet)).toBe('OK')
    expect(target.events).toEqual(['stop', 'break 100', 'break 100'])
    expect(await ask('z1,100,1')).toBe('OK')
    expect(target.events.at(-1)).toBe('delete 100')
    expect(await ask('z1,100,1')).toBe('E16')
  })

  test('and watchpoints that cannot be are refused', async () => {
    const { target, ask } = connect()
    expect(await ask('Z2,100,4')).toBe('OK')
    expect(await ask('Z3,100,4')).toBe('OK')
    expect(await ask('z2,100,4')).toBe('OK')
    expect(target.events.slice(1)).toEqual(['write 100/4', 'read 100/4', 'no write 100/4'])
    expect(await ask('Z4,100,1000')).toBe('E1c')
    expect(await ask('Z0,ffff,1')).toBe('E1c')
    expect(await ask('Z5,100,1')).toBe('')
    for (const wrong of ['Z0', 'Z0,x,1', 'Z0,1']) expect(await ask(wrong)).toBe('E16')
  })

  test('there is an end to them', async () => {
    const { ask } = connect()
    for (let i = 0; i < 4096; i++) await ask(`Z0,${i.toString(16)},1`)
    expect(await ask('Z0,5000,1')).toBe('E1c')
  })
})

describe('stop and go', () => {
  test.each([
    ['c', 'continue continue'],
    ['s', 'step stay'],
    ['C0b', 'continue+11 continue+11'],
    ['S05', 'step+5 stay'],
    ['vCont;c', 'continue continue'],
    ['vCont;s:1;c', 'step continue'],
    ['vCont;s:2', 'stay step'],
    ['vCont;C0b:1;s:2;c', 'continue+11 step'],
    ['vCont;s:0', 'step stay'],
    ['vCont;c:-1', 'continue continue'],
  ])('%s', async (packet, expected) => {
    const { target, ask, taken } = connect()
    expect(await ask(packet)).toBe('')
    expect(target.events.at(-1)).toBe(`resume ${expected}`)
    expect(await ask('g')).toBe('E10')
    target.halt({ cpu: 1, signal: Signal.TRAP })
    expect(taken()).toBe('$T05thread:02;core:1;#57')
    expect(await ask('qC')).toBe('QC02')
    expect(await ask('?')).toBe('T05thread:02;core:1;')
  })

  test('from another place', async () => {
    const { target, ask } = connect()
    await ask('c1234')
    expect(target.values.get('0rip')).toBe(0x1234n)
    target.halt({ cpu: 0, signal: 5 })
    await ask('Hc2')
    await ask('S05;77')
    expect(target.values.get('1rip')).toBe(0x77n)
    expect(target.events.at(-1)).toBe('resume stay step+5')
  })

  test.each(['vCont;x', 'vCont;', 'vCont;c:3', 'cx', 'C', 'C1', 'vCont;c:1:2x;q'])('%s is refused', async (packet) => {
    const { target, ask } = connect()
    expect(await ask(packet)).toBe('E16')
    expect(target.isStopped).toBe(true)
  })

  test('reasons that the client understands are told', async () => {
    const { target, ask, taken } = connect()
    const stops = async (): Promise<string> => {
      await ask('c')
      target.halt({ cpu: 0, signal: 5, breakpoint: 'software' })
      const first = taken()
      await ask('c')
      target.halt({ cpu: 0, signal: 5, watch: { kind: 'access', address: 0x1234n } })
      return `${first.slice(0, -3)} ${taken().slice(0, -3)}`
    }
    expect(await stops()).toBe('$T05thread:01;core:0; $T05thread:01;core:0;awatch:1234;')
    expect(await ask('qSupported:swbreak+;hwbreak+;xmlRegisters=i386')).toContain('PacketSize=4000;')
    expect(await stops()).toBe('$T05thread:01;core:0;swbreak:; $T05thread:01;core:0;awatch:1234;')
  })

  test('backwards where the target can, and the ends of a recording', async () => {
    const { target, ask, taken } = connect()
    expect(await ask('qSupported:swbreak+')).not.toContain('Reverse')
    expect(await ask('bc')).toBe('')
    Object.assign(target, {
      reverse: (action: string, cpu: number) => {
        target.isStopped = false
        target.events.push(`reverse ${action} ${cpu}`)
      },
    })
    expect(await ask('qSupported:swbreak+')).toContain(';ReverseStep+;ReverseContinue+')
    expect(await ask('bx')).toBe('')
    await ask('bc')
    target.halt({ cpu: 0, signal: 5, replayLog: 'begin' })
    expect(taken()).toContain('$T05thread:01;core:0;replaylog:begin;#')
    await ask('Hc2')
    await ask('bs')
    target.halt({ cpu: 1, signal: 5, replayLog: 'end' })
    expect(taken()).toContain('replaylog:end;#')
    // A sentence comes as output before the stop.
    await ask('bc')
    target.halt({ cpu: 0, signal: 6, message: 'no' })
    expect(taken()).toMatch(/\$O6e6f0a#..\$T06thread:01;core:0;#/)
    expect(target.events.slice(-3)).toEqual(['reverse continue 0', 'reverse step 1', 'reverse continue 1'])
  })

  test('the client interrupts', async () => {
    const { raw, ask } = connect()
    await ask('c')
    expect(await raw('\x03')).toBe('$T02thread:01;core:0;#52')
    expect(await raw('\x03')).toBe('')
  })

  test('steps let interrupts in where the client says so', async () => {
    const { target, ask } = connect()
    expect(await ask('qqemu.sstep')).toBe('0x3')
    expect(await ask('qqemu.sstepbits')).toBe('ENABLE=1,NOIRQ=2,NOTIMER=4')
    expect(await ask('Qqemu.sstep=0x1')).toBe('OK')
    expect(await ask('qqemu.sstep')).toBe('0x1')
    await ask('s')
    expect(target.events.at(-1)).toBe('resume step stay (interrupts)')
    expect(await ask('Qqemu.sstep=0')).toBe('E16')
  })
})

describe('the end', () => {
  test('detach, kill, a lost connection, and a machine that ends', async () => {
    const detached = connect()
    expect(await detached.ask('D')).toBe('OK')
    expect([detached.target.events, detached.isOver()]).toEqual([['stop', 'detach'], true])
    const killed = connect()
    expect(await killed.ask('k')).toBe('')
    expect([killed.target.events, killed.isOver()]).toEqual([['stop', 'kill'], true])
    const verbosely = connect()
    expect(await verbosely.ask('vKill;1')).toBe('OK')
    expect(verbosely.target.events).toEqual(['stop', 'kill'])
    const lost = connect()
    lost.session.closed()
    lost.session.closed()
    expect(lost.target.events).toEqual(['stop', 'detach'])
    const over = connect()
    await over.ask('c')
    over.session.exited(3)
    expect([over.taken(), over.isOver()]).toEqual(['$W03#ba', true])
  })

  test('another machine has what was set on the last', async () => {
    const { target, session, ask } = connect()
    await ask('Z0,100,1')
    await ask('Z2,200,4')
    const next = new FakeTarget()
    session.retarget(next)
    expect(target.listener).toBe(null)
    expect(next.events).toEqual(['break 100', 'write 200/4'])
    await ask('z0,100,1')
    expect(next.events.at(-1)).toBe('delete 100')
  })

  test('another machine begins with its first processor, whichever the client had chosen', async () => {
    const { session, ask } = connect()
    expect(await ask('Hg2')).toBe('OK')
    expect(await ask('qC')).toBe('QC02')
    session.retarget(new FakeTarget())
    expect(await ask('qC')).toBe('QC01')
  })
})

describe('queries', () => {
  test('threads are processors', async () => {
    const { ask } = connect()
    expect(await ask('qfThreadInfo')).toBe('m01,02')
    expect(await ask('qsThreadInfo')).toBe('l')
    expect(Buffer.from(await ask('qThreadExtraInfo,2'), 'hex').toString()).toBe('CPU 1, "<idle>"')
    expect(await ask('qThreadExtraInfo,9')).toBe('E16')
    expect(await ask('qXfer:threads:read::0,1000')).toContain('<thread id="02" core="1">CPU 1,   idle  </thread>')
  })

  test('the description comes in pieces', async () => {
    const { target, ask } = connect()
    let text = ''
    for (;;) {
      const piece = await ask(`qXfer:features:read:target.xml:${text.length.toString(16)},200`)
      text += piece.slice(1).replaceAll(/}(.)/g, (_, c: string) => String.fromCharCode(c.charCodeAt(0) ^ 0x20))
      if (piece[0] === 'l') break
    }
    expect(text).toBe(target.registers.xml)
    expect(await ask('qXfer:features:read:other.xml:0,1')).toBe('E00')
    expect(await ask('qXfer:memory-map:read::0,1')).toBe('')
    expect(await ask('qXfer:features:read:target.xml:ffffff,1')).toBe('E16')
    expect(await ask('qXfer:features:write:target.xml:0,1')).toBe('')
  })

  test('a piece fits into a packet although all of it were escaped, whatever the client asks for', async () => {
    const { target, ask } = connect()
    Object.defineProperty(target, 'cpus', { value: 400 })
    let text = ''
    const lengths: number[] = []
    for (let kind = 'm'; kind === 'm'; kind = lengths.length > 9 ? 'too many' : kind) {
      const piece = await ask(`qXfer:threads:read::${text.length.toString(16)},fffff`)
      kind = piece[0]!
      text += piece.slice(1)
      lengths.push(piece.length - 1)
    }
    expect(text.match(/<thread /g)).toHaveLength(400)
    expect(text.endsWith('</threads>\n')).toBe(true)
    expect(lengths.slice(0, -1).every((length) => length === 0x2000)).toBe(true)
    expect(lengths.length).toBe(Math.ceil(text.length / 0x2000))
    expect(await ask('qSupported')).toContain('PacketSize=4000')
  })

  test('the monitor prints', async () => {
    const { ask } = connect()
    const hex = (text: string): string => Buffer.from(text).toString('hex')
    expect(await ask(`qRcmd,${hex('help')}`)).toBe(`O${hex('0: help\n')}|OK`)
    expect(await ask(`qRcmd,${hex('quiet')}`)).toBe('OK')
    expect(await ask(`qRcmd,${hex('throw')}`)).toBe('E10')
    expect(await ask('qRcmd,zz')).toBe('E16')
    const long = (await ask(`qRcmd,${hex('x'.repeat(5000))}`)).split('|')
    expect(long.map((text) => text.length)).toEqual([8193, 2 * 5004 - 8192 + 1, 2])
  })

  test.each([
    ['qAttached', '1'],
    ['qSymbol::', 'OK'],
    ['qOffsets', ''],
    ['vMustReplyEmpty', ''],
    ['vCont?', 'vCont;c;C;s;S'],
    ['!', ''],
  ])('%s', async (packet, reply) => expect(await connect().ask(packet)).toBe(reply))
})

// gdb's include/gdb/signals.def.
test('signals have the numbers of the protocol', () => {
  expect(Signal).toEqual({ INT: 2, ILL: 4, TRAP: 5, ABRT: 6, FPE: 8, BUS: 10, SEGV: 11 })
})

describe('register sets', () => {
  test('have each name once, whole bytes, and a program counter', () => {
    const of = (...registers: { name: string; bits: number }[]) =>
      new RegisterSet('i386', [{ name: 'f', registers }], 'a')
    expect(of({ name: 'a', bits: 8 }).numberOf('b')).toBe(-1)
    expect(() => of({ name: 'a', bits: 8 }, { name: 'a', bits: 8 })).toThrow(GdbError)
    expect(() => of({ name: 'a', bits: 7 })).toThrow(GdbError)
    expect(() => of({ name: 'b', bits: 8 })).toThrow(GdbError)
  })

  test('of x86 are numbered as gdb expects them', () => {
    const wide = x86Registers(64)
    expect(['rax', 'rip', 'eflags', 'cs', 'st0', 'fctrl', 'xmm0', 'mxcsr'].map((name) => wide.numberOf(name))).toEqual([
      0, 16, 17, 18, 24, 32, 40, 56,
    ])
    const narrow = x86Registers(32)
    expect(['eax', 'ecx', 'eip', 'st0', 'xmm0', 'mxcsr'].map((name) => narrow.numberOf(name))).toEqual([
      0, 1, 8, 16, 32, 40,
    ])
    expect(narrow.xml).not.toContain('"rax"')
  })
})
