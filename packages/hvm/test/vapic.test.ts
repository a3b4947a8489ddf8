/** What the TPR patcher sees of a domain, and what it hears of its vCPUs. The patcher itself is `@retrap/vapic`'s. */
import { type Assembler, al, ax, dword, eax, ecx, imm32 } from '@retrap/x86-assembler'
import { VapicState, type TprReport, type VapicHost } from '@retrap/vapic'
import { P2mAccess, P2mType } from '@retrap/p2m'
import { describe, expect, test } from 'vitest'
import { VcpuVapic, type VcpuVapicOptions, type X86Vcpu } from '../src/index.ts'
import { DomainVapicHost } from '../src/x86/vapic/vapic-host.ts'
import { Guest, PROTECTED, STACK } from './support/guest.ts'
import { BUFFER, BUFFER_GPA, leave, OTHER, OTHER_GPA, pagedGuest, PT_HIGH, SlowDevice } from './support/paged-guest.ts'

const TPR = 0xfee0_0080
const PAGE = 0x1000
const RAM_END = 0x10_0000

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

describe('guest memory as the patcher reaches it', () => {
  /** A guest with paging, where OTHER maps to a frame that does not follow that of BUFFER. */
  async function hosted(): Promise<{ guest: Guest; host: VapicHost; calls: string[] }> {
    const guest = pagedGuest((asm) => leave(asm), new SlowDevice([], true))
    guest.domain.guestMemory.load(PT_HIGH + 4, bytes(0x03, 0x00, 0x06, 0x00))
    expect(await guest.run()).toMatchObject({ reason: 'debug-exit', code: 0 })
    const calls: string[] = []
    const host = new DomainVapicHost(guest.domain, 'vmcall', {
      mapRomWritable: (gpa, length) => void calls.push(`map ${gpa} ${length}`),
      unmapRom: () => void calls.push('unmap'),
      registers: () => ({ eip: 1, esp: 2, fsBase: 3 }),
      reportTprAccesses: (enabled) => void calls.push(`report ${String(enabled)}`),
      useRecord: (vcpu, gpa) => void calls.push(`record ${vcpu} ${gpa}`),
    })
    return { guest, host, calls }
  }
  const OTHER_FRAME = 0x6_0000

  test('addresses are translated as the tables say now', async () => {
    const { host } = await hosted()
    expect(host.translate(0, BUFFER + 5)).toBe(BUFFER_GPA + 5)
    expect(host.translate(0, OTHER + 5)).toBe(OTHER_FRAME + 5)
    expect(host.translate(0, 0x8000_0000)).toBeUndefined()
  })

  test('reads and writes go over the end of a page, wherever the next one lies', async () => {
    const { guest, host } = await hosted()
    const { guestMemory } = guest.domain
    expect(host.writeLinear(0, OTHER - 3, bytes(1, 2, 3, 4, 5))).toBe(true)
    const [end, begin] = [new Uint8Array(3), new Uint8Array(2)]
    guestMemory.read(BUFFER_GPA + PAGE - 3, end)
    guestMemory.read(OTHER_FRAME, begin)
    expect([...end, ...begin]).toEqual([1, 2, 3, 4, 5])
    const into = new Uint8Array(5)
    expect(host.readLinear(0, OTHER - 3, into)).toBe(true)
    expect([...into]).toEqual([1, 2, 3, 4, 5])
    guestMemory.read(OTHER_GPA, begin)
    expect([...begin]).toEqual([0, 0])
  })

  test.each([
    { what: 'not mapped', entry: bytes(0, 0, 0, 0) },
    { what: 'a device', entry: bytes(0x03, 0x00, 0x10, 0x00) },
  ])('nothing is read or written where a part is $what', async ({ entry }) => {
    const { guest, host } = await hosted()
    host.writeLinear(0, OTHER - 2, bytes(1, 2))
    guest.domain.guestMemory.load(PT_HIGH + 4, entry)
    const into = bytes(9, 9, 9, 9)
    expect(host.readLinear(0, OTHER - 2, into)).toBe(false)
    expect([...into]).toEqual([9, 9, 9, 9])
    expect(host.writeLinear(0, OTHER - 2, bytes(5, 6, 7, 8))).toBe(false)
    expect(host.readLinear(0, OTHER - 2, into.subarray(0, 2))).toBe(true)
    expect([...into]).toEqual([1, 2, 9, 9])
  })

  test('ROM is read and not written; what is behind RAM is neither', async () => {
    const { guest, host } = await hosted()
    guest.domain.p2m.setType(OTHER_FRAME / PAGE, 1, P2mType.RAM_RO)
    const into = new Uint8Array(4)
    expect(host.readLinear(0, OTHER - 2, into)).toBe(true)
    expect(host.writeLinear(0, OTHER - 2, bytes(1, 2, 3, 4))).toBe(false)
    expect(host.readPhysical(OTHER_FRAME, into)).toBe(true)
    expect(host.writePhysical(OTHER_FRAME, into)).toBe(false)
    // The first of two pages alone can be written.
    expect(host.writePhysical(OTHER_FRAME - 2, bytes(1, 2, 3, 4))).toBe(false)
    expect(host.writePhysical(OTHER_FRAME - 4, bytes(1, 2, 3, 4))).toBe(true)
    expect(host.readPhysical(OTHER_FRAME - 4, into)).toBe(true)
    expect([...into]).toEqual([1, 2, 3, 4])
    expect([host.readPhysical(RAM_END - 2, into), host.writePhysical(RAM_END - 2, into)]).toEqual([false, false])
  })

  test('words of a range of values are found in RAM, and not in ROM', async () => {
    const { guest, host } = await hosted()
    const { guestMemory, p2m } = guest.domain
    const values = [0x7654_3000, 0x7654_3010, 0x7654_300f, 0x7654_2fff, 0x7654_3011]
    values.forEach((value, i) => guestMemory.load(0x7_0000 + 8 * i, new Uint8Array(Uint32Array.of(value).buffer)))
    // Three more words: not aligned, in a page whose writes are logged, in ROM.
    guestMemory.load(0x7_0101, new Uint8Array(Uint32Array.of(0x7654_3001).buffer))
    guestMemory.load(0x7_1ffc, new Uint8Array(Uint32Array.of(0x7654_3002).buffer))
    guestMemory.load(0x7_2000, new Uint8Array(Uint32Array.of(0x7654_3003).buffer))
    p2m.setType(0x71, 1, P2mType.RAM_LOGDIRTY)
    p2m.setType(0x72, 1, P2mType.RAM_RO)
    expect([...host.findWords(0x7654_3000, 0x7654_3010)]).toEqual([
      { gpa: 0x7_0000, value: 0x7654_3000 },
      { gpa: 0x7_0008, value: 0x7654_3010 },
      { gpa: 0x7_0010, value: 0x7654_300f },
      { gpa: 0x7_1ffc, value: 0x7654_3002 },
    ])
    p2m.setAccess(0x70, 1, P2mAccess.R)
    expect([...host.findWords(0x7654_3000, 0x7654_3010)].map(({ gpa }) => gpa)).toEqual([0x7_1ffc])
  })

  test('the rest is the domain’s', async () => {
    const { host, calls } = await hosted()
    host.mapRomWritable(0xc_0000, 0x1000)
    host.unmapRom()
    host.reportTprAccesses(true)
    host.useRecord(0, 0x1234)
    host.useRecord(0, undefined)
    host.stopAll()
    host.resumeAll()
    expect(calls).toEqual(['map 786432 4096', 'unmap', 'report true', 'record 0 4660', 'record 0 undefined'])
    expect([host.vcpuCount, host.pollMethod, host.registers(0)]).toEqual([1, 'vmcall', { eip: 1, esp: 2, fsBase: 3 }])
  })
})

test('code that the patcher has written is decoded anew, also behind the end of a page', () => {
  const target = 0x3_0000
  const guest = new Guest((asm) => asm.jmp(target))
  const { domain } = guest
  const host = new DomainVapicHost(domain, 'vmcall', {
    mapRomWritable() {},
    unmapRom() {},
    registers: () => ({ eip: 0, esp: 0, fsBase: 0 }),
    reportTprAccesses() {},
    useRecord() {},
  })
  guest.program(target, 32, (asm) => asm.mov(al, 1).hlt())
  const again = (): number => {
    guest.boot.load(PROTECTED)
    expect(guest.boot.run(100).reason).toBe('hlt')
    return guest.boot.registers.generalWords[0]! & 0xff
  }
  expect([again(), again()]).toEqual([1, 1])
  // Behind the processor's back: MOV AL, 2.
  domain.memory.u8[domain.p2m.translate(target) + 1] = 2
  host.dropCode(target - 3, 5)
  expect(again()).toBe(2)
  domain.memory.u8[domain.p2m.translate(target) + 1] = 3
  host.dropCode(target, 2)
  expect(again()).toBe(3)
})

interface Heard {
  readonly what: string
  readonly eip: number
  readonly esp: number
}

/** A guest whose vCPU is watched for a patcher that notes what it hears. */
function watched(build: (asm: Assembler) => void, options: Partial<VcpuVapicOptions> = {}, patched = true) {
  const guest = new Guest((asm) => {
    build(asm)
    leave(asm)
  })
  const vcpu = guest.domain.vcpus[0] as X86Vcpu
  const heard: Heard[] = []
  const hear = (what: string): void => {
    const { eip, esp } = watch.registers()
    heard.push({ what, eip, esp })
  }
  const patcher = {
    state: VapicState.ACTIVE as VapicState,
    report(_vcpu: number, { access, gpa, behind }: TprReport): boolean {
      hear(`${access} ${gpa.toString(16)}${behind === true ? ' behind' : ''}`)
      return patched
    },
    portWrite: (_vcpu: number, size: number, value: number) => hear(`port ${size} ${value}`),
    poll: () => hear('poll'),
  }
  const watch = new VcpuVapic(vcpu, patcher as never, { behind: false, apicPage: -1, ...options })
  watch.reporting = true
  vcpu.vapic = watch
  /** Runs to the end. @returns what was heard */
  const run = async (): Promise<string[]> => {
    expect(await guest.run()).toMatchObject({ reason: 'debug-exit', code: 0 })
    return heard.map(({ what }) => what)
  }
  return { guest, vcpu, watch, patcher, heard, run }
}

describe('accesses to the task priority register are reported', () => {
  test('reads, writes and both, each once, and no access beside it', async () => {
    const { run } = watched((asm) => {
      asm.mov(eax, dword(TPR)).mov(dword(TPR), imm32(0x10)).or(dword(TPR), imm32(0x20))
      asm
        .mov(eax, dword(TPR + 0x10))
        .mov(eax, dword(TPR - 0x10))
        .mov(eax, dword(0x8080))
    })
    expect(await run()).toEqual(['read fee00080', 'write fee00080', 'write fee00080'])
  })

  test.each([
    { behind: false, what: 'read fee00080' },
    { behind: true, what: 'read fee00080 behind' },
  ])('with the registers at the instruction; behind it: $behind', async ({ behind, what }) => {
    const { guest, run, heard } = watched((asm) => asm.push(eax).mov(eax, dword(TPR)).pop(eax), { behind })
    expect(await run()).toEqual([what])
    const { eip, esp } = heard[0]!
    expect(esp).toBe(STACK - 4)
    // MOV EAX, moffs32: the address is its last four bytes, and the first of what follows is POP EAX.
    const end = behind ? eip : eip + 5
    expect([guest.read32(end - 4) >>> 0, guest.read32(end) & 0xff]).toEqual([TPR, 0x58])
  })

  test('only while somebody asks for it', async () => {
    const { watch, run } = watched((asm) => asm.mov(eax, dword(TPR)))
    watch.reporting = false
    expect(await run()).toEqual([])
  })

  test('of an APIC elsewhere too, where its page is named', async () => {
    const { watch } = watched(() => {}, { apicPage: 0xfec1_0000 })
    const asked = [0xfec1_0080, 0xfec1_0084, 0xfec1_1080, 0xfee0_0080, 0xfee0_1080]
    expect(asked.map((gpa) => watch.watches(gpa))).toEqual([true, false, false, true, false])
  })

  test('ever more rarely where the patcher refuses, and from the start again after a reset', async () => {
    const loop = (asm: Assembler): void => {
      const again = asm.label()
      asm.mov(ecx, 101).bind(again).mov(eax, dword(TPR)).dec(ecx).jnz(again)
    }
    const accepted = watched(loop)
    expect(await accepted.run()).toHaveLength(101)
    const { run, watch } = watched(loop, {}, false)
    // 33 times; then 2, 4, 8, 16 and 32 accesses go by.
    expect(await run()).toHaveLength(33 + 5)
    expect(watch.save()).toEqual({ refusals: 38, pause: 63 })
    expect(watch.watches(TPR)).toBe(false)
    expect(watch.save()).toEqual({ refusals: 38, pause: 62 })
    watch.forget()
    expect([watch.watches(TPR), watch.save()]).toEqual([true, { refusals: 0, pause: 0 }])
    watch.restore({ refusals: 38, pause: 1 })
    expect([watch.watches(TPR), watch.watches(TPR)]).toEqual([false, true])
  })

  test('but not of real mode, where no patch could be executed', () => {
    const { guest, vcpu, watch, heard } = watched(() => {})
    const access = (): void => {
      watch.accessed('read', TPR)
      // The access asks for the end of the turn, and the instruction that made it has retired by then.
      const { retired } = vcpu.cpu
      while (vcpu.cpu.retired === retired) vcpu.cpu.step()
      watch.settle()
    }
    guest.program(0x3000, 16, (asm) => asm.nop().nop())
    vcpu.cpu.load({ ...PROTECTED, registers: { rip: 0x3000, rsp: STACK, rflags: 2 } })
    access()
    expect(heard.map(({ what }) => what)).toEqual(['read fee00080'])
    const segments = { ...PROTECTED.segments, cs: { selector: 0, base: 0, limit: 0xffff, attributes: 0x9b } }
    vcpu.cpu.load({ ...PROTECTED, registers: { rip: 0x3000, rsp: 0x1000, rflags: 2 }, segments, cr0: 0x10 })
    access()
    expect(heard).toHaveLength(1)
  })
})

describe('what a helper asks for', () => {
  const PORT = 0x7e
  test.each([
    { what: 'two bytes at port 7Eh', ask: (asm: Assembler) => asm.mov(ax, 0x1234).out(PORT, ax), asked: 'port 2 4660' },
    { what: 'a byte', ask: (asm: Assembler) => asm.mov(al, 0x12).out(PORT, al), asked: 'port 1 18' },
    { what: 'four bytes', ask: (asm: Assembler) => asm.mov(eax, 7).out(PORT, eax), asked: 'poll' },
    { what: 'a hypercall', ask: (asm: Assembler) => asm.mov(eax, 1).vmcall(), asked: 'poll' },
  ])('by $what', async ({ ask, asked }) => {
    const { run } = watched((asm) => ask(asm))
    expect(await run()).toEqual([asked])
  })

  test.each([
    { what: 'another number', eax: 2, state: VapicState.ACTIVE, taken: false },
    { what: 'no ROM announced', eax: 1, state: VapicState.INACTIVE, taken: false },
    { what: 'a ROM in use', eax: 1, state: VapicState.ACTIVE, taken: true },
  ])('a hypercall with $what: $taken', ({ eax: number, state, taken }) => {
    const { vcpu, watch, patcher, heard } = watched(() => {})
    patcher.state = state
    const { registers } = vcpu.cpu
    registers.generalWords[0] = number
    expect(watch.hypercall()).toBe(taken)
    expect([registers.generalWords[0], heard.length]).toEqual(taken ? [0, 1] : [number, 0])
  })
})
