import { PassThrough } from 'node:stream'
import type { TargetStop } from '@retrap/gdb'
import {
  CapabilitiesEvent,
  DebugSession,
  ExitedEvent,
  InitializedEvent,
  Event,
  OutputEvent,
  Response,
  StoppedEvent,
  TerminatedEvent,
} from '@vscode/debugadapter'
import type { DebugProtocol } from '@vscode/debugprotocol'
import { CliError } from '@retrap/linux-guest/errors'
import { explainError } from '../../errors.ts'
import { usage } from '../../options/values.ts'
import { Breakpoints, type Place } from './breakpoints.ts'
import { FrameReader } from './frames.ts'
import { Inspection } from './inspection.ts'
import { commandLineOf, launchArguments, type LaunchArguments } from './launch.ts'
import { MachineDebug } from './machine-debug.ts'
import { ProgramNames } from './program-names.ts'
import { Stepping } from './stepping.ts'

/** Runs a command line of retrap's with a debugger. @returns the exit code of the command */
export type RunMachine = (
  args: readonly string[],
  machine: MachineDebug,
  print: (category: 'stdout' | 'console', text: string) => void,
) => Promise<number>

type StepArguments = Pick<DebugProtocol.NextArguments, 'threadId' | 'granularity'>

const CAPABILITIES: DebugProtocol.Capabilities = {
  supportsConfigurationDoneRequest: true,
  supportsFunctionBreakpoints: true,
  supportsInstructionBreakpoints: true,
  supportsDataBreakpoints: true,
  supportsDataBreakpointBytes: true,
  supportsReadMemoryRequest: true,
  supportsDisassembleRequest: true,
  supportsSteppingGranularity: true,
  supportsStepBack: true,
  supportsGotoTargetsRequest: true,
  supportsEvaluateForHovers: true,
  supportsTerminateRequest: true,
}

const WATCH_KINDS = { read: 'read', write: 'write', readWrite: 'access' } as const

/** A response with an action that follows it. */
class Answer {
  readonly next: () => Promise<void>
  readonly body: unknown

  constructor(next: () => Promise<void>, body?: unknown) {
    this.next = next
    this.body = body
  }
}

/** One client's session: a machine under the Debug Adapter Protocol. */
export class MachineSession extends DebugSession {
  readonly #run: RunMachine
  readonly #over = Promise.withResolvers<void>()
  readonly #machine: MachineDebug
  readonly #breakpoints: Breakpoints
  #names: ProgramNames | undefined
  #launch: LaunchArguments | undefined
  /** The launch has succeeded. */
  #isLaunched = false
  #adopted = Promise.withResolvers<void>()
  #ended: Promise<number> | undefined
  /** The vCPU that the last stop was about. */
  #cpu = 0
  /** Places that `goto` may name. */
  readonly #places: { readonly direction: 'forwards' | 'back'; readonly addresses: readonly bigint[] }[] = []
  /** Handlers of requests, which return the response's body. A client may send arguments in any shape. */
  readonly #handlers: ReadonlyMap<string, (args: never) => unknown>

  constructor(run: RunMachine) {
    super(true)
    this.#run = run
    this.#machine = new MachineDebug({
      adopted: () => {
        this.#names?.forget()
        this.#breakpoints.forget()
        this.#adopted.resolve()
      },
      trouble: (sentence) => this.sendEvent(new OutputEvent(`${sentence}\n`, 'important')),
      find: (name) => this.#names?.addressOf(name),
      nameOf: (address) => this.#names?.nameOf(address),
    })
    this.#breakpoints = new Breakpoints(this.#machine)
    this.#handlers = new Map(Object.entries(this.#table()))
  }

  /** Resolves when the client has disconnected. */
  get over(): Promise<void> {
    return this.#over.promise
  }

  /** Reads the client's messages itself: the library's reader ends at invalid input, and accepts messages of any length. */
  override start(input: NodeJS.ReadableStream, output: NodeJS.WritableStream): void {
    const none = new PassThrough()
    super.start(none, output)
    const reader = new FrameReader({
      message: (message) => this.handleMessage(message as DebugProtocol.ProtocolMessage),
      // An invalid message has no request number.
      trouble: (sentence) => this.sendResponse(new Response({ seq: 0, type: 'request', command: '' }, sentence)),
    })
    input.on('data', (bytes: Uint8Array) => reader.push(bytes))
    for (const event of ['close', 'error']) input.on(event, () => none.destroy())
  }

  /** The client has gone: no machine is left behind. */
  override shutdown(): void {
    this.#machine.kill()
    void Promise.resolve(this.#ended).finally(() => this.#over.resolve())
  }

  protected override dispatchRequest(request: DebugProtocol.Request): void {
    void this.#answer(request)
  }

  async #answer(request: DebugProtocol.Request): Promise<void> {
    const response: DebugProtocol.Response = new Response(request)
    const handler = this.#handlers.get(request.command)
    let next: Answer['next'] | undefined
    try {
      if (handler === undefined) throw usage(`there is no request ${request.command}`)
      const answer = await handler((request.arguments ?? {}) as never)
      if (answer instanceof Answer) next = answer.next
      response.body = answer instanceof Answer ? answer.body : answer
    } catch (error) {
      response.success = false
      response.message = explainError(error)?.message ?? String(error)
      response.body = { error: { id: 1, format: response.message, showUser: true } }
    }
    this.sendResponse(response)
    await next?.()
  }

  #table() {
    const machine = this.#machine
    return {
      initialize: ({ linesStartAt1 }: DebugProtocol.InitializeRequestArguments) => {
        if (linesStartAt1 === false) throw usage('lines are counted from 1')
        return CAPABILITIES
      },
      launch: (args: object) => this.#begin(args),
      attach: (args: object) => this.#begin(args),
      configurationDone: () => this.#configured(),
      disconnect: () => new Answer(async () => this.shutdown()),
      terminate: () => machine.kill(),
      threads: () => this.#inspect().threads(),
      stackTrace: (args: DebugProtocol.StackTraceArguments) => this.#inspect().stackTrace(args),
      scopes: (args: DebugProtocol.ScopesArguments) => this.#inspect().scopes(args),
      variables: (args: DebugProtocol.VariablesArguments) => this.#inspect().variables(args),
      readMemory: (args: DebugProtocol.ReadMemoryArguments) => this.#inspect().readMemory(args, this.#cpu),
      disassemble: (args: DebugProtocol.DisassembleArguments) => this.#inspect().disassemble(args, this.#cpu),
      evaluate: (args: DebugProtocol.EvaluateArguments) => this.#evaluate(args),
      dataBreakpointInfo: (args: DebugProtocol.DataBreakpointInfoArguments) =>
        this.#inspect().dataBreakpointInfo(args, this.#cpu),
      setBreakpoints: (args: DebugProtocol.SetBreakpointsArguments) => this.#setLines(args),
      setFunctionBreakpoints: (args: DebugProtocol.SetFunctionBreakpointsArguments) => this.#setFunctions(args),
      setInstructionBreakpoints: (args: DebugProtocol.SetInstructionBreakpointsArguments) =>
        this.#setInstructions(args),
      setDataBreakpoints: (args: DebugProtocol.SetDataBreakpointsArguments) => this.#setData(args),
      setExceptionBreakpoints: () => ({ breakpoints: [] }),
      continue: () => this.#go('pause', () => machine.continue(), { allThreadsContinued: true }),
      reverseContinue: () => this.#go('pause', () => machine.reverse('continue', this.#cpu)),
      next: (args: StepArguments) => this.#step(args, (stepping, cpu, byLine) => stepping.over(cpu, byLine)),
      stepIn: (args: StepArguments) => this.#step(args, (stepping, cpu, byLine) => stepping.into(cpu, byLine)),
      stepOut: (args: StepArguments) => this.#step(args, (stepping, cpu) => stepping.out(cpu)),
      stepBack: (args: StepArguments) => this.#step(args, (stepping, cpu, byLine) => stepping.back(cpu, byLine)),
      pause: () => machine.pause(),
      gotoTargets: (args: DebugProtocol.GotoTargetsArguments) => this.#gotoTargets(args),
      goto: (args: DebugProtocol.GotoArguments) => this.#goto(args),
    }
  }

  /** Makes the machine. It stands still until the client has set its breakpoints. */
  async #begin(args: object): Promise<Answer> {
    if (this.#launch !== undefined) throw usage('the machine is there already')
    const launch = launchArguments(args)
    this.#names = await ProgramNames.read(launch.program, launch.sourceFolder)
    this.#launch = launch
    const said: string[] = []
    const run = this.#run(await commandLineOf(launch), this.#machine, (category, text) => {
      if (category === 'console') said.push(text)
      this.sendEvent(new OutputEvent(text, category))
    })
    this.#ended = run.catch(() => 1)
    const code = await Promise.race([run, this.#adopted.promise.then(() => undefined)])
    if (code !== undefined) {
      this.#launch = undefined
      throw new CliError('ERR_INPUT', said.join('').trim() || `retrap ended with ${code}`)
    }
    void run.then(
      (exit) => this.#exited(exit),
      (error: unknown) => {
        this.sendEvent(new OutputEvent(`${String(error)}\n`, 'stderr'))
        this.#exited(1)
      },
    )
    await this.#machine.still()
    const { recording, at = 'end' } = launch
    if (recording !== undefined && at !== 'begin')
      this.sendEvent(new OutputEvent(await this.#machine.target.monitor(0, `goto ${at}`), 'console'))
    this.#names.look(this.#machine.memory)
    this.#isLaunched = true
    return new Answer(async () => {
      this.sendEvent(new CapabilitiesEvent({ supportsStepBack: this.#machine.hasPast }))
      this.sendEvent(new InitializedEvent())
    })
  }

  #exited(code: number): void {
    this.sendEvent(new ExitedEvent(code))
    this.sendEvent(new TerminatedEvent())
  }

  #configured(): Answer {
    if (!this.#isLaunched) throw usage('there is no machine; launch one')
    return new Answer(() => this.#start())
  }

  /** Starts the machine, after the client has set its breakpoints. */
  async #start(): Promise<void> {
    const { recording, stopOnEntry = recording !== undefined } = this.#launch ?? {}
    if (stopOnEntry) this.#stopped('entry', { cpu: 0, signal: 0 })
    else await this.#settle('pause', this.#machine.continue())
  }

  #inspect(): Inspection {
    if (this.#machine.isRunning) throw usage('the machine runs; pause it first')
    return new Inspection(this.#machine, this.#known())
  }

  #known(): ProgramNames {
    if (this.#names === undefined) throw usage('there is no machine yet; launch one')
    return this.#names
  }

  /** Runs the machine when the request has been answered. */
  #go(reason: string, work: () => Promise<TargetStop>, body?: object): Answer {
    // An error of the command itself is the answer to the request.
    const stop = work()
    stop.catch(() => {})
    return new Answer(() => this.#settle(reason, stop), body)
  }

  #step(
    { threadId, granularity }: StepArguments,
    step: (stepping: Stepping, cpu: number, byLine: boolean) => Promise<TargetStop>,
  ): Answer {
    const cpu = this.#inspect().cpuOf(threadId)
    const stepping = new Stepping(this.#machine, this.#known())
    return this.#go('step', () => step(stepping, cpu, granularity !== 'instruction'))
  }

  async #settle(reason: string, work: Promise<TargetStop>): Promise<void> {
    try {
      const stop = await work
      if (reason !== 'step' && this.#known().look(this.#machine.memory))
        for (const breakpoint of this.#breakpoints.lookAgain())
          this.sendEvent(Object.assign(new Event('breakpoint'), { body: { reason: 'changed', breakpoint } }))
      this.#stopped(reason, stop)
    } catch (error) {
      // The listener of the machine's end notifies the client.
      if (this.#machine.hasEnded) return
      const known = explainError(error)
      this.sendEvent(new OutputEvent(`${known?.message ?? String(error)}\n`, 'important'))
      if (!this.#machine.isRunning) this.#stopped('pause', { cpu: this.#cpu, signal: 0 })
    }
  }

  #stopped(reason: string, stop: TargetStop): void {
    this.#cpu = stop.cpu
    const { watch, replayLog, message } = stop
    const hit = reason === 'entry' ? undefined : this.#breakpoints.at(this.#machine.code(stop.cpu).address)
    const place = replayLog && `the recording ${replayLog === 'begin' ? 'begins' : 'ends'} here`
    const description = message ?? place
    const event = new StoppedEvent(watch === undefined ? (hit?.reason ?? reason) : 'data breakpoint', stop.cpu + 1)
    Object.assign(event.body, {
      allThreadsStopped: true,
      ...(hit !== undefined && watch === undefined && { hitBreakpointIds: hit.ids }),
      ...(description !== undefined && { description, text: description }),
    })
    this.sendEvent(event)
  }

  async #evaluate(args: DebugProtocol.EvaluateArguments): Promise<unknown> {
    const { expression, frameId, context = 'repl' } = args
    const cpu = frameId === undefined ? this.#cpu : Math.floor(frameId / 1000)
    const inspection = this.#inspect()
    const place = (): string => `${this.#machine.code(this.#cpu).address} ${this.#machine.stackPointer(this.#cpu)}`
    const before = place()
    // Only a user's own command may change the display, not an editor's look-up.
    const result = await (context === 'repl'
      ? inspection.command(expression, cpu)
      : inspection.evaluate(expression, cpu))
    // A command such as goto has moved the machine.
    const isMoved = place() !== before
    return isMoved ? new Answer(async () => this.#stopped('goto', { cpu: this.#cpu, signal: 0 }), result) : result
  }

  #setLines({ source, breakpoints = [] }: DebugProtocol.SetBreakpointsArguments): unknown {
    const names = this.#known()
    const path = source.path ?? source.name ?? ''
    const places = breakpoints.map(({ line }): Place => ({
      reason: 'breakpoint',
      line,
      find: () => names.addressesOf(path, line),
      lack: 'the program has no code for this line; give one with debug information as program',
    }))
    return { breakpoints: this.#breakpoints.set(`lines of ${path}`, places) }
  }

  #setFunctions({ breakpoints }: DebugProtocol.SetFunctionBreakpointsArguments): unknown {
    const names = this.#known()
    const places = breakpoints.map(({ name }): Place => ({
      reason: 'function breakpoint',
      find: () => [names.addressOf(name) ?? []].flat(),
      lack: `neither the program nor Linux in memory has ${name} yet`,
    }))
    return { breakpoints: this.#breakpoints.set('functions', places) }
  }

  #setInstructions({ breakpoints }: DebugProtocol.SetInstructionBreakpointsArguments): unknown {
    const places = breakpoints.map(({ instructionReference, offset = 0 }): Place => ({
      reason: 'instruction breakpoint',
      find: () =>
        /^(0x[\da-f]+|\d+)$/i.test(instructionReference)
          ? [BigInt.asUintN(64, BigInt(instructionReference) + BigInt(offset))]
          : [],
      lack: `'${instructionReference}' is no address`,
    }))
    return { breakpoints: this.#breakpoints.set('instructions', places) }
  }

  #setData({ breakpoints }: DebugProtocol.SetDataBreakpointsArguments): unknown {
    const wanted = breakpoints.map(({ dataId, accessType = 'write' }) => {
      const [, address = '0', length = '0'] = /^(0x[\da-f]{1,16})\/(\d{1,9})$/.exec(dataId) ?? []
      return { address: BigInt(address), length: Number(length), kind: WATCH_KINDS[accessType] }
    })
    const set = this.#machine.watch(wanted)
    return { breakpoints: set.map((verified) => ({ verified })) }
  }

  /** Places of a line to run to: on, and back where the machine has a past. */
  #gotoTargets({ source, line }: DebugProtocol.GotoTargetsArguments): unknown {
    const addresses = this.#known().addressesOf(source.path ?? source.name ?? '', line)
    if (addresses.length === 0) return { targets: [] }
    const directions = this.#machine.hasPast ? (['forwards', 'back'] as const) : (['forwards'] as const)
    const targets = directions.map((direction) => {
      const id = this.#places.push({ direction, addresses })
      return { id, label: direction === 'back' ? 'back to the last time here' : 'on to the next time here', line }
    })
    return { targets }
  }

  #goto({ threadId, targetId }: DebugProtocol.GotoArguments): Answer {
    const place = this.#places[targetId - 1]
    if (place === undefined) throw usage(`there is no target ${targetId}; ask for gotoTargets`)
    const cpu = this.#inspect().cpuOf(threadId)
    const stepping = new Stepping(this.#machine, this.#known())
    return this.#go('goto', () => stepping.to(place.addresses, place.direction, cpu))
  }
}
