import { ACPI_PM, DebugConsole, DebugExit } from '@retrap/devices'
import { defineDevice } from '@retrap/device'
import {
  type Assembler,
  al,
  ax,
  byte,
  cl,
  cr0,
  dl,
  ds,
  dword,
  dx,
  eax,
  ebx,
  ecx,
  edi,
  edx,
  esi,
  esp,
  imm16,
  ptr,
  si,
  st0,
  st1,
  word,
} from '@retrap/x86-assembler'
import { saveVcpu } from '@retrap/x86-cpu'
import { EAGER_JIT, TEST_JIT } from '@retrap/tooling/jit'
import { describe, expect, test } from 'vitest'
import { LoaderError, MachineError, createPc, preparePc } from '../src/index.ts'
import type { MachineExit, Pc, PcOptions } from '../src/index.ts'
import { BASE, firmwareImage, multibootKernel, powerOff, pvhKernel } from './support/kernels.ts'

const MIB = 1 << 20
const COM1 = 0x3f8
const PM1A_CONTROL = ACPI_PM.base + 4
const SMALL = { memoryBytes: 4 * MIB, codeCacheBytes: 4 * MIB, jit: TEST_JIT } as const

/** Eight data bits: after reset the port sends five. */
function setUpSerial(asm: Assembler): void {
  asm
    .mov(dx, imm16(COM1 + 3))
    .mov(al, 3)
    .out(dx, al)
}

/** Sends a NUL-terminated text to the first serial port. */
function print(asm: Assembler, text: string): void {
  const loop = asm.label()
  const done = asm.label()
  const message = asm.label()
  setUpSerial(asm)
  asm.mov(esi, message).mov(edx, COM1).bind(loop).lodsb().test(al, al).jz(done).out(dx, al).jmp(loop)
  asm.bind(message).asciz(text).bind(done)
}

interface Outcome {
  readonly exit: MachineExit
  readonly text: string
  readonly pc: Pc
}

async function run(options: Partial<PcOptions>, timeoutMs = 100_000): Promise<Outcome> {
  const pc = await createPc({ ...SMALL, ...options })
  const bytes: number[] = []
  pc.serial.onTransmit((some) => bytes.push(...some))
  const exit = await pc.run({ timeoutMs })
  return { exit, text: String.fromCharCode(...bytes), pc }
}

describe('what a PC cannot be', () => {
  const kernel = multibootKernel((asm) => asm.hlt())
  test.each([
    {
      what: 'no memory',
      options: { memoryBytes: 0 },
      error: LoaderError,
      message: /memory size.*0 bytes.*at least 1 MiB/,
    },
    { what: 'half a page', options: { memoryBytes: MIB + 100 }, error: LoaderError, message: /whole 4 KiB pages/ },
    { what: 'negative memory', options: { memoryBytes: -4096 }, error: LoaderError, message: /memory size/ },
    {
      what: 'memory that is no number',
      options: { memoryBytes: Number.NaN },
      error: LoaderError,
      message: /memory size/,
    },
    {
      what: 'too little for its kernel',
      options: { memoryBytes: MIB },
      error: LoaderError,
      message: /give the machine more memory/,
    },
    { what: 'no CPU', options: { cpus: 0 }, error: MachineError, message: /0 CPUs: expected 1–128/ },
    { what: 'a thousand CPUs', options: { cpus: 1000 }, error: MachineError, message: /1000 CPUs: expected 1–128/ },
    { what: 'half a CPU', options: { cpus: 1.5 }, error: MachineError, message: /expected 1–128/ },
    { what: '32 threads', options: { cpus: 32, smp: () => null! }, error: MachineError, message: /1–31 in threads/ },
    {
      what: 'nothing to run',
      options: { kernel: undefined },
      error: MachineError,
      message: /neither a kernel nor a firmware/,
    },
    {
      what: 'a firmware of odd size',
      options: { kernel: undefined, firmware: new Uint8Array(100) },
      error: LoaderError,
      message: /firmware size/,
    },
    { what: 'a kernel that is none', options: { kernel: new Uint8Array(4096) }, error: LoaderError, message: /kernel/ },
    {
      what: 'an initrd larger than memory',
      options: { initrd: new Uint8Array(5 * MIB) },
      error: LoaderError,
      message: /module.*give the machine more memory/,
    },
    {
      what: 'two devices at one port',
      options: { devices: [new DebugExit({ iobase: COM1 })] },
      error: Error,
      message: /3f8/,
    },
  ])('$what', async ({ options, error, message }) => {
    const making = createPc({ ...SMALL, kernel, ...options })
    await expect(making).rejects.toBeInstanceOf(error)
    await expect(making).rejects.toThrow(message)
  })

  test('5 GiB: the error says how much there can be', async () => {
    await expect(createPc({ memoryBytes: 5 * 1024 * MIB, kernel })).rejects.toThrow(/3\.5 GiB|at most|expected/)
  })
})

describe('kernels without firmware', () => {
  test('a multiboot kernel prints, finds its magic, and powers the machine off', async () => {
    const kernel = multibootKernel((asm) => {
      const wrong = asm.label()
      asm.cmp(eax, 0x2bad_b002).jne(wrong)
      print(asm, 'hello, multiboot\n')
      powerOff(asm)
      asm.bind(wrong).ud2()
    })
    const { exit, text } = await run({ kernel })
    expect(exit).toEqual({ reason: 'power-off' })
    expect(text).toBe('hello, multiboot\n')
  })

  test.each([
    { protocol: 'multiboot', options: { kernel: multibootKernel(powerOff) }, x87: ['0x37f', '0xff'] },
    { protocol: 'PVH', options: { kernel: pvhKernel(powerOff) }, x87: ['0x37f', '0xff'] },
    // Its firmware has yet to run.
    {
      protocol: 'firmware',
      options: { kernel: undefined, firmware: firmwareImage((asm) => asm.hlt()) },
      x87: ['0x40', '0x0'],
    },
  ])('$protocol leaves the x87 unit as FNINIT does, or as reset has left it', async ({ options, x87 }) => {
    const pc = await createPc({ ...SMALL, cpus: 2, ...options })
    const found = pc.domain.vcpus.map(({ cpu }) => saveVcpu(cpu).x87)
    expect(found.map(({ control, empty }) => [control, empty])).toEqual([x87, x87])
  })

  test('one that waits for the interrupt of an x87 exception with interrupts off is told of once', async () => {
    const warnings: string[] = []
    const kernel = multibootKernel((asm) => {
      asm.push(0x37b).fldcw(word(esp)).fldz().fld1().fdiv(st0, st1).fwait().hlt()
    })
    await run({ kernel, onWarning: (warning) => warnings.push(warning) }, 100)
    expect(warnings).toEqual([expect.stringMatching(/^vCPU 0 stands still: .*FERR#/)])
  })

  test('a PVH kernel prints, finds its start info, and powers the machine off', async () => {
    const kernel = pvhKernel((asm) => {
      const wrong = asm.label()
      asm.cmp(dword(ebx), 0x336e_c578).jne(wrong)
      print(asm, 'hello, PVH\n')
      powerOff(asm)
      asm.bind(wrong).ud2()
    })
    const { exit, text, pc } = await run({ kernel })
    expect(exit).toEqual({ reason: 'power-off' })
    expect(text).toBe('hello, PVH\n')
    // One vCPU unless more are asked for.
    expect(pc.domain.vcpus.length).toBe(1)
  })

  test('memory types are as firmware leaves them: write-back, but for the VGA window and the hole below 4 GiB', async () => {
    const { pc } = await run({ cpus: 2, kernel: multibootKernel(powerOff) })
    for (const vcpu of pc.domain.vcpus) {
      const { registers } = saveVcpu(vcpu.cpu)
      expect(registers['mtrrDefType']).toBe('0xc06')
      expect(registers['mtrrFixed0']).toBe('0x606060606060606')
      expect(registers['mtrrFixed2']).toBe('0x0')
      expect(registers['mtrrFixed3']).toBe('0x505050505050505')
      expect(registers['mtrrVariable0']).toBe('0xc0000000')
      expect(registers['mtrrVariable1']).toBe('0xffc0000800')
      expect(registers['pat']).toBe('0x7040600070406')
    }
  })

  test('bytes for the serial port wait until the guest takes them', async () => {
    const kernel = multibootKernel((asm) => {
      // Echo until a line feed.
      const loop = asm.label()
      const wait = asm.label()
      setUpSerial(asm)
      asm
        .bind(loop)
        .mov(edx, COM1 + 5)
        .bind(wait)
        .in(al, dx)
        .test(al, 1)
        .jz(wait)
      asm.mov(edx, COM1).in(al, dx).out(dx, al).cmp(al, 10).jne(loop)
      powerOff(asm)
    })
    const pc = await createPc({ ...SMALL, kernel })
    let text = ''
    pc.serial.pipeTo({ write: (bytes) => (text += String.fromCharCode(...bytes)) })
    pc.serial.receive(Uint8Array.from('a long line, longer than the FIFO of sixteen bytes\n', (c) => c.charCodeAt(0)))
    expect(await pc.run({ timeoutMs: 100_000 })).toEqual({ reason: 'power-off' })
    expect(text).toBe('a long line, longer than the FIFO of sixteen bytes\n')
  })
})

describe('firmware', () => {
  test('starts at the reset vector, in ROM below 1 MiB too, and its stores to ROM go nowhere', async () => {
    const firmware = firmwareImage((asm) => {
      const text = asm.label()
      const loop = asm.label()
      const done = asm.label()
      setUpSerial(asm)
      asm.mov(ax, 0xf000).mov(ds, ax).mov(byte(text), 'X'.charCodeAt(0))
      asm.mov(si, text).mov(dx, COM1).bind(loop).lodsb().test(al, al).jz(done).out(dx, al).jmp(loop)
      asm.bind(text).asciz('from ROM').bind(done)
      asm
        .mov(dx, PM1A_CONTROL)
        .mov(ax, imm16(0x2000 | (ACPI_PM.s5SleepType << 10)))
        .out(dx, ax)
        .hlt()
    })
    const { exit, text } = await run({ kernel: undefined, firmware })
    expect(exit).toEqual({ reason: 'power-off' })
    expect(text).toBe('from ROM')
  })
})

describe('how a run ends', () => {
  test('isa-debug-exit gives its code', async () => {
    const kernel = multibootKernel((asm) => asm.mov(al, 21).out(0xf4, al).hlt())
    const { exit } = await run({ kernel, devices: [new DebugExit({ iobase: 0xf4, iosize: 1 })] })
    expect(exit).toEqual({ reason: 'debug-exit', code: 43 })
  })

  test('the reset port resets', async () => {
    const { exit } = await run({ kernel: multibootKernel((asm) => asm.mov(edx, 0xcf9).mov(al, 6).out(dx, al).hlt()) })
    expect(exit).toEqual({ reason: 'reset' })
  })

  test('a jump into unmapped space ends in a triple fault, with registers and address', async () => {
    const kernel = multibootKernel((asm) => asm.mov(ecx, 0x1234_5678).lidt(ptr(0x7000)).mov(eax, 0xd000_0000).jmp(eax))
    const { exit } = await run({ kernel })
    expect(exit.reason).toBe('triple-fault')
    expect(exit.detail?.vcpu).toBe(0)
    expect(exit.detail?.registers).toMatchObject({ RIP: 0xd000_0000n, RCX: 0x1234_5678n, CS: 8n })
    expect(exit.detail?.message).toContain('triple fault')
  })

  test('a triple fault names the instruction', async () => {
    const kernel = multibootKernel((asm) => asm.lidt(ptr(0x7000)).mov(esp, 0x9000).ud2())
    const { exit } = await run({ kernel })
    expect(exit.detail?.instruction?.mode).toBe(32)
    expect([...(exit.detail?.instruction?.bytes.subarray(0, 2) ?? [])]).toEqual([0x0f, 0x0b])
    expect(exit.detail?.instruction?.address).toBeGreaterThan(BigInt(BASE))
  })

  test('a guest that loops for ever meets its timeout, and can be run on', async () => {
    const kernel = multibootKernel((asm) => {
      const loop = asm.label()
      asm.bind(loop).cmp(dword(0x9000), 1).jne(loop)
      powerOff(asm)
    })
    const pc = await createPc({ ...SMALL, kernel })
    expect(await pc.run({ timeoutMs: 50 })).toEqual({ reason: 'timeout' })
    pc.domain.guestMemory.write(0x9000, Uint8Array.of(1))
    expect(await pc.run({ timeoutMs: 100_000 })).toEqual({ reason: 'power-off' })
  })

  test('a repeated string instruction without end meets its timeout too', async () => {
    // With 64-bit paging RCX could be 2^64 − 1; here the segment's 4 GiB of LODSB of unclaimed space are enough.
    const kernel = multibootKernel((asm) => asm.mov(ecx, 0xffff_ffff).mov(esi, 0xd000_0000).rep().lodsb().hlt())
    const { exit } = await run({ kernel }, 100)
    expect(exit).toEqual({ reason: 'timeout' })
  })

  test('a signal stops it, and one that has been given already stops it at once', async () => {
    const kernel = multibootKernel((asm) => {
      const loop = asm.here()
      asm.jmp(loop)
    })
    const pc = await createPc({ ...SMALL, kernel })
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 20)
    expect(await pc.run({ signal: controller.signal })).toEqual({ reason: 'stopped' })
    expect(await pc.run({ signal: controller.signal })).toEqual({ reason: 'stopped' })
  })

  test('a machine that runs cannot be run again meanwhile', async () => {
    const pc = await createPc({ ...SMALL, kernel: multibootKernel((asm) => asm.cli().hlt()) })
    const running = pc.run({ timeoutMs: 50 })
    await expect(pc.run()).rejects.toThrow('runs already')
    await running
  })

  test('a device model that fails is named with its request', async () => {
    const kernel = multibootKernel((asm) => asm.mov(eax, dword(0xfed9_0004)).hlt())
    const broken = defineDevice({
      name: 'broken',
      mmio: { base: 0xfed9_0000, size: 0x1000 },
      read: () => Promise.reject(new Error('no sensor')),
    })
    const { exit } = await run({ kernel, devices: [broken] })
    expect(exit.reason).toBe('device-failure')
    expect(exit.detail?.message).toMatch(/broken.*fed90004.*no sensor/)
  })

  test.each<[string, unknown]>([
    ['an object without a string', Object.create(null)],
    [
      'one whose string throws',
      {
        toString: () => {
          throw new Error('no')
        },
      },
    ],
    ['a symbol', Symbol('why')],
  ])('a device model that throws %s ends the machine all the same', async (_, thrown) => {
    const kernel = multibootKernel((asm) => asm.mov(eax, dword(0xfed9_0004)).hlt())
    const read = (): number => {
      throw thrown
    }
    const broken = defineDevice({ name: 'broken', synchronous: true, mmio: { base: 0xfed9_0000, size: 0x1000 }, read })
    const { exit } = await run({ kernel, devices: [broken] })
    expect(exit.reason).toBe('device-failure')
    expect(exit.detail?.message).toMatch(/broken.*fed90004.*(cannot be printed|Symbol)/)
  })

  test('the debug console gives its last line, ended or not', async () => {
    const lines: number[] = []
    const kernel = multibootKernel((asm) => {
      asm.mov(al, 'o'.charCodeAt(0)).mov(dx, imm16(0x402)).out(dx, al).mov(al, 'k'.charCodeAt(0)).out(dx, al)
      powerOff(asm)
    })
    await run({ kernel, devices: [new DebugConsole({ stream: { send: (bytes) => void lines.push(...bytes) } })] })
    expect(String.fromCharCode(...lines)).toBe('ok')
  })
})

describe('guests that do odd things', () => {
  test('a kernel that writes to ROM reads the ROM again, and goes on', async () => {
    // Multiboot without firmware has RAM there; a firmware image makes it ROM.
    const firmware = firmwareImage((asm) => {
      const again = asm.label()
      asm.mov(ax, 0xf000).mov(ds, ax).mov(ecx, 1000)
      asm.bind(again).mov(byte(0x8000), cl).dec(ecx).jnz(again)
      asm.mov(dl, byte(0x8000)).mov(al, dl).out(0xf4, al).hlt()
    })
    firmware[0x8000] = 0x2a
    const { exit } = await run({ firmware, kernel: undefined, devices: [new DebugExit({ iobase: 0xf4, iosize: 1 })] })
    expect(exit).toEqual({ reason: 'debug-exit', code: 0x55 })
  })

  test('a device model that takes its time delays the MOV and nothing else', async () => {
    const kernel = multibootKernel((asm) => {
      asm.mov(eax, dword(0xfed9_0000)).mov(edi, eax).out(0xf4, al).hlt()
    })
    const slow = defineDevice({
      name: 'slow',
      mmio: { base: 0xfed9_0000, size: 0x1000 },
      read: () => new Promise<number>((resolve) => setTimeout(() => resolve(99), 30)),
    })
    const { exit } = await run({ kernel, devices: [slow, new DebugExit({ iobase: 0xf4, iosize: 1 })] })
    expect(exit).toEqual({ reason: 'debug-exit', code: 199 })
  })
})

describe('deterministic machines', () => {
  /** Prints what differs between two real machines: TSC, random numbers, the RTC, ticks of the PIT. */
  const kernel = multibootKernel((asm) => {
    const loop = asm.label()
    setUpSerial(asm)
    asm.mov(esp, 0x8_0000).mov(ecx, 200)
    asm.bind(loop).rdtsc().add(ebx, eax).rdrand(eax).xor(ebx, eax)
    asm
      .mov(al, 0)
      .out(0x70, al)
      .in(al, 0x71)
      .add(ebx, eax)
      .mov(al, 0)
      .out(0x43, al)
      .in(al, 0x40)
      .add(ebx, eax)
      .in(al, 0x40)
    asm.mov(edx, COM1).mov(eax, ebx).and(al, 0x3f).add(al, 0x30).out(dx, al).dec(ecx).jnz(loop)
    asm.mov(eax, cr0)
    powerOff(asm)
  })

  test('runs agree in output, registers, memory and instructions, compiled or interpreted', async () => {
    const once = async (jit: Partial<PcOptions>['jit']) => {
      const { exit, text, pc } = await run({ kernel, clock: 'deterministic', jit })
      const ram = new Uint8Array(0x9_f000)
      pc.domain.guestMemory.read(0, ram)
      const { jit: compiled, ...statistics } = pc.statistics()
      const { cpu } = pc.domain.vcpus[0] as Pc['domain']['vcpus'][number]
      return { seen: { exit, text, ram, cpu: saveVcpu(cpu), statistics }, units: compiled?.units ?? 0 }
    }
    const { seen, units } = await once(false)
    expect([seen.text.length, units]).toEqual([200, 0])
    expect((await once(false)).seen).toEqual(seen)
    for (let i = 0; i < 2; i++) {
      const compiled = await once(EAGER_JIT)
      expect(compiled.units).toBeGreaterThan(0)
      expect(compiled.seen).toEqual(seen)
    }
  })

  test('machines of all sizes share one interpreter, which preparePc has generated', async () => {
    preparePc({ jit: true })
    const modules = new Set<object>()
    for (const options of [{}, { memoryBytes: 8 * MIB, cpus: 2 }, { codeCacheBytes: 2 * MIB }]) {
      const pc = await createPc({ ...SMALL, ...options, jit: true, kernel })
      modules.add(pc.domain.engine.module)
      pc.close()
    }
    expect(modules.size).toBe(1)
  })

  test('statistics count what has happened', async () => {
    const { pc } = await run({ kernel, clock: 'deterministic' })
    const statistics = pc.statistics()
    expect(statistics.instructions).toBeGreaterThan(200 * 15)
    expect(statistics.portAccesses).toBeGreaterThanOrEqual(200 * 6)
    expect(statistics.exceptions).toBe(0)
    expect(statistics.machineBytes).toBeGreaterThan(SMALL.memoryBytes)
  })
})
