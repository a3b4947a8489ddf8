// Machines that stop for their debugger and go on: `pc.debugger()`.
import { setTimeout as sleep } from 'node:timers/promises'
import { defineDevice, type DeviceContext } from '@retrap/device'
import { DebugExit } from '@retrap/devices'
import { TEST_JIT } from '@retrap/tooling/jit'
import { al, type Assembler, byte, cr0, cr3, cr4, dword, dx, eax, ebx, ecx, esp } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { createPc, MachineError, type Pc, type MachineDebugger, type PcOptions } from '../src/index.ts'
import { clockFirmware, clockLog, EXIT_PORT as CLOCK_EXIT } from './support/clock-guest.ts'
import { kept } from './support/kept.ts'
import { BASE, multibootKernel } from './support/kernels.ts'

const EXIT_PORT = 0xf4
const DATA = 0x18_0000
const DEVICE = 0xfed9_0000
const FUNCTION = BASE + 0x1000
const ROUNDS = 1000
const APIC = 0xfee0_0000
const TRAMPOLINE = 0x8000
const COUNTER = 0x9000
/** Real-mode code that counts for ever: xor ax,ax; mov ds,ax; inc dword [9000h]; jmp. */
const COUNTING = [0x31, 0xc0, 0x8e, 0xd8, 0x66, 0xff, 0x06, 0x00, 0x90, 0xeb, 0xf9]
/** Behind straight code, and before the branch where a turn that is used up can end. */
const STRAIGHT_END = BigInt(FUNCTION + 500)

/** Calls a function, which writes the count that it is given, `ROUNDS` times. */
const counting = multibootKernel((asm) => {
  const [store, again] = [asm.label(), asm.label()]
  asm.mov(esp, 0x20_0000).mov(ebx, 0).mov(ecx, ROUNDS).bind(again)
  asm.mov(eax, ecx).call(store).dec(ecx).jnz(again)
  end(asm)
  asm.org(FUNCTION).bind(store).mov(dword(DATA), eax).inc(ebx).ret()
})

function end(asm: Assembler): void {
  asm.mov(dx, EXIT_PORT).mov(al, 0).out(dx, al).hlt()
}

async function made(
  kernel: Uint8Array,
  options: Partial<PcOptions> = {},
): Promise<{ readonly pc: Pc; readonly debug: MachineDebugger }> {
  const pc = await createPc({
    memoryBytes: 4 << 20,
    codeCacheBytes: 4 << 20,
    jit: TEST_JIT,
    kernel: kernel.slice(),
    devices: [new DebugExit({ iobase: EXIT_PORT })],
    ...options,
  })
  kept(pc)
  return { pc, debug: await pc.debugger() }
}

const read = (debug: MachineDebugger, address: number): number => {
  const bytes = new Uint8Array(4)
  expect(debug.read(BigInt(address), bytes)).toBe(4)
  return new DataView(bytes.buffer).getUint32(0, true)
}

describe.each(['real', 'deterministic'] as const)('with %s time', (clock) => {
  test('breakpoints have handlers, which the machine waits for', async () => {
    const { pc, debug } = await made(counting, { clock })
    const seen: bigint[] = []
    const breakpoint = debug.breakpoint(BigInt(FUNCTION), async ({ cpu }) => {
      seen.push(debug.register('rax', cpu))
      await sleep(1)
      if (seen.length === 5) breakpoint.remove()
    })
    expect(await pc.run()).toMatchObject({ reason: 'debug-exit' })
    expect(seen).toEqual([1000n, 999n, 998n, 997n, 996n])
    expect(debug.register('rbx')).toBe(BigInt(ROUNDS))
  })

  test('it stops, steps, watches, and executes the same in the end', async () => {
    const alone = await made(counting, { clock })
    await alone.pc.run()
    const { pc, debug } = await made(counting, { clock })
    // A machine that has not been run yet.
    expect(await debug.stop()).toEqual({ kind: 'pause', cpu: 0 })
    const breakpoint = debug.breakpoint(BigInt(FUNCTION))
    const running = pc.run()
    await sleep(5)
    expect([debug.isStopped, pc.domain.instructions]).toEqual([true, 0])
    debug.resume()
    expect(await debug.nextStop()).toEqual({ kind: 'breakpoint', cpu: 0, address: BigInt(FUNCTION) })
    expect(await debug.step()).toEqual({ kind: 'step', cpu: 0 })
    expect(read(debug, DATA)).toBe(ROUNDS)
    breakpoint.remove()
    const watch = debug.watch(BigInt(DATA), 4, 'write')
    debug.resume()
    expect(await debug.nextStop()).toEqual({ kind: 'watch', cpu: 0, address: BigInt(DATA), watch: 'write' })
    expect(read(debug, DATA)).toBe(ROUNDS - 1)
    watch.remove()
    expect(debug.setRegister('rbx', 5000n)).toBe(true)
    expect(debug.write(BigInt(DATA + 8), Uint8Array.of(1, 2, 3, 4))).toBe(4)
    debug.resume()
    await running
    expect(debug.register('rbx')).toBe(BigInt(ROUNDS - 1 + 5000))
    expect(read(debug, DATA + 8)).toBe(0x0403_0201)
    expect(pc.domain.instructions).toBe(alone.pc.domain.instructions)
    if (clock === 'deterministic') expect(pc.domain.clock.now()).toBe(alone.pc.domain.clock.now())
  })

  test('two vCPUs that run: the debugger steps one, and the other stays', async () => {
    const spin = multibootKernel((asm) => {
      const [again, second] = [asm.label(), 0x8000]
      // INIT and a start-up IPI for the other vCPU, whose code is at 0x8000: it jumps to itself.
      asm.mov(dword(second), 0x9090_9090).mov(dword(second + 4), 0xf8eb_9090)
      asm.mov(dword(0xfee0_00f0), 0x1ff).mov(dword(0xfee0_0310), 1 << 24)
      asm.mov(dword(0xfee0_0300), 0x4500).mov(dword(0xfee0_0300), 0x4608)
      asm.bind(again).inc(ebx).jmp(again)
    })
    const { pc, debug } = await made(spin, { clock, cpus: 2 })
    const running = pc.run()
    for (let i = 0; i < 50 && debug.register('rip', 1) === 0xfff0n; i++) await sleep(5)
    await debug.stop()
    const [before, other] = [debug.register('rbx'), pc.domain.vcpus[1]!.cpu.retired]
    expect(other).toBeGreaterThan(0)
    for (let i = 0; i < 10; i++) expect(await debug.step(0)).toMatchObject({ kind: 'step', cpu: 0 })
    expect(debug.register('rbx') - before).toBe(5n)
    expect(pc.domain.vcpus[1]!.cpu.retired).toBe(other)
    const first = pc.domain.vcpus[0]!.cpu.retired
    expect(await debug.step(1)).toMatchObject({ kind: 'step', cpu: 1 })
    expect(pc.domain.vcpus[1]!.cpu.retired).toBe(other + 1)
    expect(pc.domain.vcpus[0]!.cpu.retired).toBe(first)
    const saved = await pc.save()
    expect(saved.state).toBeDefined()
    debug.close()
    pc.domain.stop({ reason: 'stopped' })
    expect(await running).toEqual({ reason: 'stopped' })
  })
})

test('on deterministic time every clock goes on as if there were no debugger', async () => {
  const options = (): Partial<PcOptions> => ({
    clock: 'deterministic',
    kernel: undefined,
    firmware: clockFirmware('periodic'),
    devices: [new DebugExit({ iobase: CLOCK_EXIT })],
  })
  const alone = await made(counting, options())
  await alone.pc.run()
  const { pc, debug } = await made(counting, options())
  let stops = 0
  // Each interrupt reads and writes it.
  const watch = debug.watch(0x8000n, 4, 'access', () => {
    if (++stops === 100) watch.remove()
  })
  await pc.run()
  expect(stops).toBe(100)
  expect(clockLog(pc, 0n)).toEqual(clockLog(alone.pc, 0n))
  expect(pc.domain.instructions).toBe(alone.pc.domain.instructions)
})

/** Straight code, again and again; a second processor counts, and the first mixes that into a hash at DATA. */
const straight = multibootKernel((asm) => {
  for (const [i, value] of COUNTING.entries()) asm.mov(byte(TRAMPOLINE + i), value)
  asm.mov(dword(APIC + 0xf0), 0x1ff).mov(dword(APIC + 0x310), 0x0100_0000)
  asm.mov(dword(APIC + 0x300), 0xc4500).mov(dword(APIC + 0x300), 0xc4600 | (TRAMPOLINE >> 12))
  const again = asm.label()
  asm.mov(ecx, 300).jmp(again).org(FUNCTION).bind(again)
  for (let i = 0; i < 100; i++) asm.rol(ebx, 5).xor(ebx, ecx)
  asm.add(ebx, dword(COUNTER)).mov(dword(DATA), ebx).dec(ecx).jnz(again)
  end(asm)
})

test.each(['breakpoint', 'watch'] as const)('turns of two vCPUs end where they would without a %s', async (kind) => {
  const hashes: number[] = []
  for (const isDebugged of [false, true]) {
    const { pc, debug } = await made(straight, { clock: 'deterministic', cpus: 2 })
    let stops = 0
    const stopped = (): void => void stops++
    if (isDebugged && kind === 'watch') debug.watch(BigInt(DATA), 4, 'write', stopped)
    else if (isDebugged) debug.breakpoint(STRAIGHT_END, stopped)
    await pc.run()
    expect(stops > 100).toBe(isDebugged)
    hashes.push(read(debug, DATA))
  }
  expect(hashes[1]).toBe(hashes[0])
})

test('a stopped machine is stopped for good by its signal, and stays stopped when it is run again', async () => {
  const { pc, debug } = await made(counting)
  debug.breakpoint(BigInt(FUNCTION))
  const abort = new AbortController()
  const running = pc.run({ signal: abort.signal })
  await debug.nextStop()
  abort.abort()
  expect(await running).toEqual({ reason: 'stopped' })
  const { instructions } = pc.domain
  const again = pc.run()
  await sleep(5)
  expect(pc.domain.instructions).toBe(instructions)
  debug.close()
  expect(await again).toMatchObject({ reason: 'debug-exit' })
})

test('no time passes for a machine that is stopped', async () => {
  const { pc, debug } = await made(counting)
  debug.breakpoint(BigInt(FUNCTION))
  void pc.run()
  await debug.nextStop()
  const before = pc.domain.clock.now()
  await sleep(50)
  void debug.step()
  expect(pc.domain.clock.now() - before).toBeLessThan(40e6)
})

test('memory that is a device, or is not mapped, is not read; nor do reads leave traces', async () => {
  let reads = 0
  const device = defineDevice({ name: 'device', mmio: { base: DEVICE, size: 0x1000 }, read: () => ++reads })
  const { debug } = await made(counting, { devices: [device] })
  const bytes = new Uint8Array(16)
  expect(debug.read(BigInt(DEVICE), bytes)).toBe(0)
  expect(debug.readPhysical(DEVICE, bytes)).toBe(0)
  expect(debug.write(BigInt(DEVICE), bytes)).toBe(0)
  expect(debug.read(0xfee0_0000n, bytes)).toBe(0)
  expect(debug.read(BigInt((4 << 20) - 8), bytes)).toBe(8)
  expect(debug.readPhysical((4 << 20) - 8, bytes)).toBe(8)
  expect(debug.readPhysical(2 ** 60, bytes)).toBe(0)
  expect(debug.writePhysical((4 << 20) - 4, bytes)).toBe(4)
  expect(reads).toBe(0)
})

test('an instruction that waits for a device is one step; its registers cannot be written meanwhile', async () => {
  let answer: (value: number) => void = () => {}
  let pending = ''
  const device = defineDevice({
    name: 'slow',
    mmio: { base: DEVICE, size: 0x1000 },
    read: () => new Promise<number>((resolve) => (answer = resolve)),
    async write() {
      await sleep(1)
      pending = await (await pc.gdbTarget({ kill: () => {} })).monitor(0, 'pending')
    },
  })
  const kernel = multibootKernel((asm) => {
    asm
      .mov(ebx, 0)
      .mov(eax, dword(DEVICE))
      .inc(dword(DEVICE + 4))
    end(asm)
  })
  const { pc, debug } = await made(kernel, { devices: [device, new DebugExit({ iobase: EXIT_PORT })] })
  void pc.run()
  await sleep(20)
  await debug.stop()
  const rip = debug.register('rip')
  expect(debug.describeCpu(0)).toBe('CPU 0, waits for a device')
  const target = await pc.gdbTarget({ kill: () => {} })
  expect(await target.monitor(0, 'pending')).toMatch(
    /^CPU 0 waits for a device at 0x1000[\da-f]{2}: slow, mmio read of 4 bytes at 0xfed90000\n {2}pass 1: 1 access, 1 of a device; the next pass replays 0\n {2}#0 mmio-read of 4 at 0xfed90000, tag 0\.0: asked\n$/,
  )
  expect(debug.setRegister('rbx', 1n)).toBe(false)
  const stepped = debug.step()
  await sleep(5)
  answer(0x1234)
  expect(await stepped).toEqual({ kind: 'step', cpu: 0 })
  expect([debug.register('rip') - rip, debug.register('rax'), debug.register('rbx')]).toEqual([5n, 0x1234n, 0n])
  // Read and written: the second pass has the device's answer from the log, and asks it for the write.
  const increased = debug.step()
  await sleep(5)
  answer(0x77)
  expect(await increased).toEqual({ kind: 'step', cpu: 0 })
  // A host that is busy may look once more.
  expect(
    pending
      .replace(/pass \d+/, 'pass N')
      .split('\n')
      .slice(1),
  ).toEqual([
    '  pass N: 2 accesses, 2 of a device; the next pass replays 1',
    '  #0 mmio-read of 4 at 0xfed90004, tag 0.0: answered, bytes 77000000',
    '  #1 mmio-write of 4 at 0xfed90004, tag 0.0: asked, bytes 78000000',
    '',
  ])
})

test('a triple fault stops the machine where it is caught', async () => {
  const kernel = multibootKernel((asm) => asm.ud2())
  const { pc, debug } = await made(kernel)
  debug.catchFault(6)
  debug.catchesShutdown = true
  const running = pc.run()
  expect(await debug.nextStop()).toMatchObject({ kind: 'fault', vector: 6 })
  debug.resume()
  expect(await debug.nextStop()).toEqual({ kind: 'shutdown', cpu: 0 })
  debug.resume()
  expect(await running).toMatchObject({ reason: 'triple-fault' })
})

test('a machine that ends tells who waits for a stop', async () => {
  const { pc, debug } = await made(counting)
  const next = debug.nextStop()
  await Promise.all([expect(next).rejects.toThrow(MachineError), pc.run()])
  await expect(debug.nextStop()).rejects.toThrow(MachineError)
  await expect(debug.stop()).rejects.toThrow(MachineError)
})

test('what a handler throws stops the machine, and is thrown to who waits', async () => {
  const { pc, debug } = await made(counting)
  debug.breakpoint(BigInt(FUNCTION), () => {
    throw new Error('mine')
  })
  void pc.run()
  await expect(debug.nextStop()).rejects.toThrow('mine')
  expect(debug.isStopped).toBe(true)
})

test('registers have gdb’s names, and can be written', async () => {
  const plain = await made(counting)
  await plain.debug.stop()
  for (const name of ['k3', 'zmm2h', 'r20']) expect(() => plain.debug.register(name), name).toThrow(MachineError)
  expect((await plain.pc.gdbTarget({ kill: () => {} })).registers.numberOf('k3')).toBe(-1)
  const { pc, debug } = await made(counting, { cpu: 'max,+avx512f,+apx_f' })
  await debug.stop()
  const target = await pc.gdbTarget({ kill: () => {} })
  for (const { name } of [...target.registers.registers])
    expect([name, target.readRegister(0, name)]).not.toContain(undefined)
  const odd =
    'st3 fstat ftag xmm5 ymm5h fs_base cr2 eflags rip r15 mxcsr gdtr_limit k3 zmm2h zmm20h xmm20 ymm20h r20 r31'.split(
      ' ',
    )
  for (const name of odd) {
    const value = name === 'eflags' ? 0x246n : name === 'ftag' ? 0xffffn : 0x1234n & 0x3ffn
    expect([name, debug.setRegister(name, value), debug.register(name)]).toEqual([name, true, value])
  }
  expect(['k2', 'zmm1h', 'zmm21h', 'xmm21', 'r21'].map((name) => debug.register(name))).toEqual([0n, 0n, 0n, 0n, 0n])
  // Protected mode: a selector has a descriptor that belongs to it.
  expect(debug.setRegister('ds', 8n)).toBe(false)
  expect(debug.setRegister('tr', 8n)).toBe(false)
  expect(() => debug.register('ax')).toThrow(MachineError)
  expect(() => debug.register('rax', 1)).toThrow(MachineError)
})

test('a walk is shown with what the vCPU has cached of it, and what of that is out of date', async () => {
  const [pointers, directory, table, other] = [0x20_0000, 0x20_1000, 0x20_2000, 0x20_3000]
  const kernel = multibootKernel((asm) => {
    const change = asm.label()
    // The first 2 MiB by two tables, which have another page at DATA.
    for (const at of [table, other])
      for (let page = 0x100; page < 0x110; page++) asm.mov(dword(at + 8 * page), (page << 12) | 3)
    for (const at of [table, other]) asm.mov(dword(at + 8 * (DATA >>> 12)), DATA | 3)
    asm.mov(dword(other + 8 * (DATA >>> 12)), (DATA + 0x1000) | 3)
    asm.mov(dword(pointers), directory | 1).mov(dword(directory), table | 3)
    asm.mov(dword(directory + 8), 0x20_0083)
    asm.mov(eax, pointers).mov(cr3, eax).mov(eax, 0x20).mov(cr4, eax)
    asm.mov(eax, cr0).or(eax, 0x8000_0000).mov(cr0, eax)
    asm.mov(eax, dword(DATA)).jmp(change)
    // The directory's entry changes, and nothing tells the processor.
    asm
      .org(FUNCTION)
      .bind(change)
      .mov(dword(directory), other | 0x23)
      .hlt()
  })
  const { pc, debug } = await made(kernel)
  debug.breakpoint(BigInt(FUNCTION))
  void pc.run()
  await debug.nextStop()
  const target = await pc.gdbTarget({ kill: () => {} })
  const walk = (): Promise<string> => target.monitor(0, `walk 0x${DATA.toString(16)}`)
  expect(await walk()).toBe(
    [
      'level 3, PDPTE 0, a register: 0x201001 P, table',
      'level 2, PDE 0, 0x201000: 0x202023 P R/W A, table',
      'level 1, PTE 384, 0x202c00: 0x180023 P R/W A, page',
      'paging-structure cache: a walk begins at level 1',
      '  PDE: table of level 1 at 0x202000 R/W, as in memory',
      '0x180000 is guest-physical 0x180000\n',
    ].join('\n'),
  )
  await debug.step()
  expect((await walk()).split('\n').slice(2)).toEqual([
    'level 1, PTE 384, 0x203c00: 0x181003 P R/W, page',
    'paging-structure cache: a walk begins at level 1',
    '  PDE: table of level 1 at 0x202000 R/W, memory has something else now',
    '0x180000 is guest-physical 0x181000',
    '',
  ])
  expect(await target.monitor(0, 'walk 0x400000')).toMatch(
    /, not present\npaging-structure cache: nothing for this address, a walk reads every level\n0x400000 is not mapped: a read faults at level 2, error code 0x0\n$/,
  )
})

test('a page is shown with the models that have it mapped, and with what is outstanding when it leaves', async () => {
  let dma: DeviceContext['dma'] | undefined
  const mapper = defineDevice({ name: 'mapper', attach: (context) => void (dma = context.dma) })
  const { pc } = await made(counting, { devices: [mapper, new DebugExit({ iobase: EXIT_PORT })] })
  const target = await pc.gdbTarget({ kill: () => {} })
  const look = async (): Promise<string[]> =>
    (await target.monitor(0, `p2m 0x${DATA.toString(16)}`)).split('\n').slice(1)
  const mapping = dma!.mapForWriting(DATA, 64)
  expect((await look())[0]).toMatch(/^ {2}mapper remembers machine frame 0x[\da-f]+; 1 mapping held, 1 for writing$/)
  const { p2m, invalidations } = pc.domain
  const mfn = p2m.translate(DATA) / 4096
  const { ticket } = await pc.domain.requestMemoryChange((map) => map.remove(DATA >>> 12, mfn))
  const old = `0x${mfn.toString(16)}`
  const outstanding = [
    `  epoch ${ticket.epoch}, acknowledged by all up to ${ticket.epoch - 1}`,
    `  devices has acknowledged up to ${ticket.epoch - 1}`,
    `  epoch ${ticket.epoch}: guest frames 0x180 to 0x180, left machine frame ${old}`,
    '  held back until then: CPU 0',
    '',
  ]
  expect(await look()).toEqual([
    `  mapper remembers machine frame ${old}, which the map has no more; 1 mapping held, 1 for writing`,
    ...outstanding,
  ])
  // The notice is out: the model remembers nothing, and is waited for as long as it holds its mapping.
  const settled = ticket.wait()
  await sleep(0)
  expect(await look()).toEqual(['  mapper remembers nothing of it; 1 mapping held, 1 for writing', ...outstanding])
  mapping.release()
  await settled
  expect(invalidations.account().outstanding).toEqual([])
  expect(await look()).toEqual([
    '  no device model of this process has it mapped',
    `  epoch ${ticket.epoch}: every server has acknowledged (devices)`,
    '',
  ])
})

test('the monitor', async () => {
  const { pc, debug } = await made(counting)
  await debug.stop()
  const target = await pc.gdbTarget({ kill: () => {} })
  const ask = (command: string): Promise<string> => target.monitor(0, command)
  expect(await ask('help')).toContain('walk ADDRESS')
  expect(await ask('catch #PF 6 triple')).toBe('Caught: #UD, #PF, triple\n')
  expect(await ask('uncatch triple ud')).toBe('Caught: #PF\n')
  expect(await ask('catch #XX')).toBe("'#XX' is no exception: write #PF, 14 or triple\n")
  expect(await ask('devices')).toContain('serial-3f8\n')
  expect(await ask('interrupts')).toMatch(/^CPU 0: IF 0, processor priority 0x0, no vector waits\n$/)
  expect(await ask('p2m 0x100000')).toMatch(
    /^0x100000: RAM_RW, leaf of \d+ [KM]iB, read write execute, machine address 0x[\da-f]+\n {2}no device model of this process has it mapped\n {2}epoch \d+: every server has acknowledged \(devices\)\n$/,
  )
  expect(await ask(`p2m ${DEVICE}`)).not.toContain('machine address')
  expect(await ask('pending')).toBe('No instruction waits.\n')
  expect(await ask('walk 0x1234')).toBe('0x1234 is guest-physical 0x1234\n')
  for (const wrong of ['p2m', 'p2m -1', 'walk 0x11112222333344445', 'walk'])
    expect(await ask(wrong)).toMatch(/^write (p2m|walk) ADDRESS\n$/)
  expect(await ask('nothing')).toContain('monitor help')
})
