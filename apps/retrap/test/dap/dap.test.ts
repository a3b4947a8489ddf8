/** `retrap dap`, driven by the client that Microsoft tests debug adapters with, over a recording and a machine that runs. */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Apt } from '@retrap/debian'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { DebugClient } from '@vscode/debugadapter-testsupport'
import type { DebugProtocol } from '@vscode/debugprotocol'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { retrapCommand } from '../support/processes.ts'

const DEADLINE_MS = 60_000
/** A multiboot kernel: lines 4 and 5 are executed five times, from line 10. */
const SOURCE = `int total;
__attribute__((noinline)) int add(int by)
{
  total += by;
  return total;
}
__attribute__((noinline)) int main(void)
{
  for (int i = 1; i <= 5; i++)
    add(i);
  return total;
}
__asm__(".text\\n.align 4\\n.long 0x1badb002, 0, -0x1badb002\\n.globl _start\\n.type _start, @function\\n"
        "_start: mov $0x200000, %esp\\n xor %ebp, %ebp\\n call main\\n"
        " mov $0x3f8, %dx\\n mov $0x21, %al\\n out %al, %dx\\n mov $0, %al\\n out %al, $0xf4\\n0: jmp 0b\\n.size _start, . - _start\\n");
`
const FLAGS =
  '-m32 -O0 -fomit-frame-pointer -gdwarf-5 -fno-pic -no-pie -ffreestanding -nostdlib -static -Wl,-Ttext=0x101000,--build-id=none'
const hasApt = await Apt.isAvailable()
const builds =
  hasProgram('objdump') &&
  spawnSync('gcc', [...FLAGS.split(' '), '-x', 'c', '-', '-o', '/dev/null'], { input: SOURCE }).status === 0

/** The client, over the streams of a process. */
class Client extends DebugClient {
  readonly #process: ChildProcessWithoutNullStreams
  printed = ''

  constructor() {
    super('', '', 'retrap')
    this.defaultTimeout = DEADLINE_MS / 2
    this.#process = spawn(process.execPath, retrapCommand(['dap']))
    this.connect(this.#process.stdout, this.#process.stdin)
    this.on('output', ({ body }: DebugProtocol.OutputEvent) => {
      if (body.category === 'stdout') this.printed += body.output
    })
  }

  /** Ends the session. @returns the exit code of the process */
  async leave(): Promise<number | null> {
    const exited = new Promise<number | null>((resolve) => this.#process.on('exit', resolve))
    await this.disconnectRequest()
    this.#process.stdin.end()
    return exited
  }

  /** Sends a request that runs the machine. @returns why it stops, with the line */
  async run(command: string, args: object = {}): Promise<string> {
    const stopped = this.waitForEvent('stopped')
    await this.send(command, { threadId: 1, ...args })
    return this.where(await stopped)
  }

  async where({ body: { reason } }: DebugProtocol.Event): Promise<string> {
    const { body } = await this.stackTraceRequest({ threadId: 1 })
    const frames = body.stackFrames.map(({ name, line }) =>
      `${name.replace(/\+.*/, '')}:${line}`.replace(/(_start):.*/, '$1'),
    )
    return `${reason}: ${frames.join(' ')}`
  }

  async ask(expression: string): Promise<string> {
    return (await this.evaluateRequest({ expression, context: 'repl' })).body.result
  }
}

describe.skipIf(!builds)(
  `retrap dap${skipNote(builds, 'gcc -m32 or objdump is not there')}`,
  { timeout: DEADLINE_MS },
  () => {
    const folder = temporaryFolder('dap')
    const program = join(folder, 'counter')
    const recording = join(folder, 'run.recording')
    const machine = ['run', '--kernel', program, '--memory', '16M', '--device', 'isa-debug-exit,iobase=0xf4,iosize=1']
    /** The source, as another host has it. */
    const source = { path: '/home/someone/elsewhere/counter.c' }
    const clients: Client[] = []
    beforeAll(() => {
      writeFileSync(join(folder, 'counter.c'), SOURCE)
      execFileSync('gcc', [...FLAGS.split(' '), 'counter.c', '-o', program], { cwd: folder })
      const { stderr } = spawnSync(process.execPath, retrapCommand([...machine, '--record', recording]), {
        encoding: 'utf8',
        input: '',
      })
      expect(stderr).toContain('recorded')
    })
    afterEach(async () => {
      await Promise.all(clients.splice(0).map((client) => client.leave()))
    })

    async function launched(args: object, configure: (client: Client) => Promise<unknown>): Promise<[Client, string]> {
      const client = new Client()
      clients.push(client)
      await client.initializeRequest()
      const initialized = client.waitForEvent('initialized')
      await client.launchRequest(args as DebugProtocol.LaunchRequestArguments)
      await initialized
      await configure(client)
      const stopped = client.waitForEvent('stopped')
      await client.configurationDoneRequest()
      return [client, await client.where(await stopped)]
    }

    test('a recording is gone through in both directions', async () => {
      const [client, entry] = await launched({ recording: folder, program }, async (each) => {
        const { body } = await each.setBreakpointsRequest({ source, breakpoints: [{ line: 4 }, { line: 400 }] })
        expect(body.breakpoints.map(({ verified, line }) => [verified, line])).toEqual([
          [true, 4],
          [false, 400],
        ])
      })
      expect(entry).toMatch(/^entry: _start$/)
      const total = async (): Promise<number> => {
        const { body } = await client.evaluateRequest({ expression: 'total' })
        const memory = await client.customRequest('readMemory', { memoryReference: body.memoryReference, count: 4 })
        return Buffer.from(memory.body.data as string, 'base64').readInt32LE()
      }
      expect(await total()).toBe(15)
      const inAdd = 'add:4 main:10 _start'
      expect(await client.run('reverseContinue')).toBe(`breakpoint: ${inAdd}`)
      expect(await total()).toBe(10)
      expect(await client.ask('backtrace')).toMatch(/^#0 0x\w+ add\S*\n#1 0x\w+ main\+\S+\n#2 0x\w+ _start\+\S+$/)
      expect(await client.run('reverseContinue')).toBe(`breakpoint: ${inAdd}`)
      expect(await total()).toBe(6)
      // By line, and back again.
      expect(await client.run('next')).toBe('step: add:5 main:10 _start')
      expect(await total()).toBe(10)
      expect(await client.run('stepBack')).toBe(`step: ${inAdd}`)
      expect(await client.run('stepOut')).toBe('step: main:10 _start')
      expect(await client.run('next')).toMatch(/^step: main:9 /)
      const before = await client.ask('$rip')
      expect(await client.run('stepIn', { granularity: 'instruction' })).toMatch(/^step: main:9 /)
      expect(await client.ask('$rip')).not.toBe(before)
      expect(await client.run('stepBack', { granularity: 'instruction' })).toMatch(/^step: main:9 /)
      expect(await client.ask('$rip')).toBe(before)

      await client.setBreakpointsRequest({ source, breakpoints: [] })
      const { body: info } = await client.customRequest('dataBreakpointInfo', { name: 'total', bytes: 4 })
      expect(info).toMatchObject({
        accessTypes: ['read', 'write', 'readWrite'],
        description: /^4 bytes at 0x\w+ <total>$/,
      })
      await client.setDataBreakpointsRequest({ breakpoints: [{ dataId: info.dataId as string, accessType: 'write' }] })
      expect(await client.run('reverseContinue')).toMatch(/^data breakpoint: add:4 /)
      expect(await total()).toBe(6)
      await client.setDataBreakpointsRequest({ breakpoints: [] })

      const { body: places } = await client.gotoTargetsRequest({ source, line: 11 })
      expect(places.targets.map(({ label }) => label)).toEqual([
        'on to the next time here',
        'back to the last time here',
      ])
      expect(await client.run('goto', { targetId: places.targets[0]!.id })).toBe('goto: main:11 _start')
      expect(await total()).toBe(15)
      expect(await client.run('reverseContinue')).toMatch(/^pause: /)
      expect(await client.ask('when')).toMatch(/^instruction 0 of \d+, at 0 ns$/)
      const goto = client.waitForEvent('stopped')
      expect(await client.ask('goto end')).toMatch(/^instruction (\d+) of \1, at /m)
      expect(await client.where(await goto)).toMatch(/^goto: _start$/)
      const [address = ''] = (await client.ask('total')).split(' ')
      const writers = new Set<string>()
      for (const place of ['total', 'total+0', address, `${address}@p`])
        writers.add(await client.ask(`who-wrote ${place} 4`))
      expect([...writers]).toEqual([
        expect.stringMatching(/^the instruction at 0x\w+, add\+0x\w+, of CPU 0: monitor goto \d+$/),
      ])
      expect(await client.ask('who-wrote nothing')).toMatch(/^write who-wrote and an address/)
      await client.leave().then((code) => expect(code).toBe(0))
      clients.pop()
      // It has come by there more than once.
      expect(client.printed).toBe('!')
    })

    test('a machine that runs stops at functions, has the code of objdump, and ends', async () => {
      const [client, entry] = await launched({ args: machine, program, stopOnEntry: true }, async (each) => {
        const { body } = await each.setFunctionBreakpointsRequest({
          breakpoints: [{ name: 'add' }, { name: 'nothing' }],
        })
        expect(body.breakpoints.map(({ verified }) => verified)).toEqual([true, false])
      })
      expect(entry).toMatch(/^entry: /)
      expect(await client.run('continue')).toMatch(/^function breakpoint: add:\d main:10 _start$/)
      expect((await client.threadsRequest()).body.threads).toEqual([{ id: 1, name: expect.stringContaining('CPU 0') }])
      const { body: frames } = await client.stackTraceRequest({ threadId: 1 })
      const { body: scopes } = await client.scopesRequest({ frameId: frames.stackFrames[0]!.id })
      const { variablesReference } = scopes.scopes[0]!
      const { body: registers } = await client.variablesRequest({ variablesReference })
      const pointer = frames.stackFrames[0]!.instructionPointerReference!
      expect(registers.variables).toContainEqual(
        expect.objectContaining({ name: 'rip', value: `${pointer} <add>`, memoryReference: pointer }),
      )

      // Around the beginning of main: the addresses and mnemonics of another disassembler.
      const options = ['-d', '-w', '-M', 'intel', '--no-show-raw-insn']
      const listing = execFileSync('objdump', [...options, program], { encoding: 'utf8' })
      const expected = Array.from(listing.matchAll(/^ +([\da-f]+):\s+(\w+)/gm), ([, at, word]) => `0x${at} ${word}`)
      const { memoryReference = '' } = (await client.evaluateRequest({ expression: 'main' })).body
      const main = expected.findIndex((line) => line.startsWith(`${memoryReference} `))
      const { body: code } = await client.customRequest('disassemble', {
        memoryReference,
        instructionOffset: -5,
        instructionCount: 15,
      })
      const found = (code.instructions as DebugProtocol.DisassembledInstruction[]).map(
        ({ address, instruction }) => `${address} ${instruction.split(' ')[0]}`,
      )
      expect(found).toHaveLength(15)
      expect(found).toEqual(expected.slice(main - 5, main + 10))

      const one = { memoryReference: pointer, instructionOffset: 1, instructionCount: 1 }
      const [second] = (await client.customRequest('disassemble', one)).body.instructions as { address: string }[]
      await client.customRequest('setInstructionBreakpoints', {
        breakpoints: [{ instructionReference: pointer, offset: Number(second!.address) - Number(pointer) }],
      })
      await client.setFunctionBreakpointsRequest({ breakpoints: [] })
      expect(await client.run('continue')).toMatch(/^instruction breakpoint: add:\d /)
      await client.customRequest('setInstructionBreakpoints', { breakpoints: [] })
      for (const back of ['reverseContinue', 'stepBack'])
        await expect(client.send(back, { threadId: 1 })).rejects.toThrow('only a recorded machine goes backwards')
      // An editor looks words up, which are no commands.
      const hover = (expression: string): Promise<unknown> => client.evaluateRequest({ expression, context: 'hover' })
      await expect(hover('reset')).rejects.toThrow("nothing is known of 'reset'")
      expect(await hover('add')).toMatchObject({ body: { memoryReference: pointer } })
      const ended = Promise.all([client.waitForEvent('exited'), client.waitForEvent('terminated')])
      await client.continueRequest({ threadId: 1 })
      const [{ body }] = await ended
      expect(body).toEqual({ exitCode: 1 })
    })

    test('a machine that is recorded while it runs goes back and on again', async () => {
      // A model of the caller, as the exit device is, cannot be in two machines.
      const args = [...machine.slice(0, machine.indexOf('--device')), '--record', join(folder, 'another.recording')]
      const [client] = await launched({ args, program, stopOnEntry: true }, (each) =>
        each.setFunctionBreakpointsRequest({ breakpoints: [{ name: 'add' }] }),
      )
      const inAdd = /^function breakpoint: add:\d main:10 _start$/
      const places: string[] = []
      for (const command of ['continue', 'continue', 'continue', 'reverseContinue', 'reverseContinue', 'continue']) {
        expect(await client.run(command)).toMatch(inAdd)
        places.push(await client.ask('when'))
      }
      const [first, second, third] = places
      expect(new Set([first, second, third]).size).toBe(3)
      expect(places.slice(3).map((place) => place.split(' of ')[0])).toEqual(
        [second, first, second].map((place) => place?.split(' of ')[0]),
      )
    })

    test.skipIf(!hasApt)(
      `the process that wrote is named, by Linux then${skipNote(hasApt, 'there is no apt')}`,
      { timeout: 4 * DEADLINE_MS },
      async () => {
        const file = join(folder, 'linux.recording')
        spawnSync(process.execPath, retrapCommand(['linux', '--command', 'true', '--record', file]), { input: '' })
        const [client] = await launched({ recording: file }, async () => {})
        const place = await client.ask('when')
        const asked = await client.ask('who-wrote jiffies 8')
        expect(asked).toMatch(/^the instruction at 0x\w+, \w+\+0x\w+, pid \d+ \S+, of CPU 0: monitor goto \d+$/)
        expect(await client.ask('when')).toBe(place)
      },
    )

    test('bytes that are no message are answered, and the next message is too', async () => {
      const adapter = spawn(process.execPath, retrapCommand(['dap']))
      const exited = new Promise((resolve) => adapter.on('exit', resolve))
      let answers = ''
      adapter.stdout.on('data', (bytes: Buffer) => (answers += bytes.toString()))
      const frame = (text: string): string => `Content-Length: ${text.length}\r\n\r\n${text}`
      const initialize = (seq: number): string =>
        frame(JSON.stringify({ seq, type: 'request', command: 'initialize', arguments: {} }))
      const wrong = [
        [frame('{{{{'), 'a message is no JSON'],
        [frame('[1]'), 'a message is no object with a type'],
        [`Content-Length: many\r\n\r\n{}`, 'a header lacks Content-Length'],
        ['Content-Length: 9999999999\r\n\r\n{}', 'a message has 9999999999 bytes; expected up to'],
        ['x'.repeat(1 << 20), 'there is no header in '],
      ] as const
      for (const [i, [bytes, sentence]] of wrong.entries()) {
        adapter.stdin.write(bytes + initialize(i + 1))
        await expect
          .poll(() => answers, { timeout: DEADLINE_MS / 2 })
          .toContain(`"request_seq":${i + 1},"command":"initialize","success":true`)
        expect(answers.split('"success":false').length - 1).toBe(i + 1)
        expect(answers.slice(answers.lastIndexOf('"success":false'))).toContain(sentence)
      }
      adapter.stdin.end()
      expect(await exited).toBe(0)
    })

    test('arguments that cannot be used are refused by a sentence', async () => {
      const client = new Client()
      clients.push(client)
      await client.initializeRequest()
      for (const [args, sentence] of [
        [{}, 'expected recording, machine or args'],
        [{ recording: 7 }, 'recording: expected a path'],
        [{ recording, machine: 'machine.json' }, 'give recording or machine, not both'],
        [{ args: ['linux'], program: '/nowhere/vmlinux' }, 'program /nowhere/vmlinux: there is no such file'],
        [{ recording: '/nowhere/run.recording' }, '/nowhere/run.recording'],
      ] as const)
        await expect(client.launchRequest(args as DebugProtocol.LaunchRequestArguments)).rejects.toThrow(sentence)
      await expect(client.threadsRequest()).rejects.toThrow('there is no machine yet')
      await expect(client.launchRequest({ args: ['run', folder] } as object)).rejects.toThrow(folder)
      let isStopped = false
      client.on('stopped', () => (isStopped = true))
      await expect(client.configurationDoneRequest()).rejects.toThrow('there is no machine')
      await expect(client.threadsRequest()).rejects.toThrow('there is no machine yet')
      expect(isStopped).toBe(false)
    })
  },
)
