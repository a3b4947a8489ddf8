import { type ClientState, cpuOfThread, ERROR_ARGUMENT, ERROR_STATE, threadOf } from './client-state.ts'
import * as dataPackets from './data-packets.ts'
import { fromHex, latin1, toHex } from './hex.ts'
import { framePacket, PacketReader } from './packets.ts'
import { answerQuery } from './query-packets.ts'
import { parseResume, parseVCont } from './resume-packets.ts'
import type { CpuAction, GdbTarget, TargetStop } from './target.ts'

/** A session's connection to its client. */
export interface SessionStream {
  /** Sends bytes. */
  write(bytes: Uint8Array): void
  /** Ends the connection. */
  end(): void
}

/** Packets that may wait for an earlier one. A client waits for each reply. */
const MOST_WAITING = 64
/** Bytes of output that go into one packet. */
const PRINTED_BYTES = 4096

/**
 * One client of gdb's remote protocol, over any stream of bytes. The machine stops when it begins.
 *
 * Source: Debugging with GDB, appendix E, "Remote Protocol".
 */
export class GdbSession {
  readonly #stream: SessionStream
  readonly #reader: PacketReader
  readonly #state: ClientState
  /** Packets are acknowledged. */
  #acknowledges = true
  #last: Uint8Array | null = null
  readonly #waiting: string[] = []
  #working = false
  /** The client waits for a stop. */
  #running = false
  #over = false

  constructor(target: GdbTarget, stream: SessionStream) {
    this.#stream = stream
    this.#state = {
      target,
      cpu: 0,
      resumeCpu: -1,
      physical: false,
      steps: { holdInterrupts: true },
      understands: { softwareBreakpoints: false, hardwareBreakpoints: false },
      stoppers: new Map(),
    }
    this.#reader = new PacketReader({
      packet: (text) => {
        if (this.#acknowledges) stream.write(latin1('+'))
        this.#take(text)
      },
      damaged: () => {
        if (this.#acknowledges) stream.write(latin1('-'))
      },
      interrupt: () => this.#state.target.stop(),
      again: () => {
        if (this.#acknowledges && this.#last !== null) stream.write(this.#last)
      },
    })
    this.#adopt(target)
    target.stop()
  }

  /** Takes bytes of the client's connection. */
  receive(bytes: Uint8Array): void {
    if (!this.#over) this.#reader.push(bytes)
  }

  /** Switches to another machine, as after a reset, and sets the client's breakpoints in it. It runs if the machine before ran. */
  retarget(target: GdbTarget): void {
    this.#state.target.onStop(null)
    this.#state.target = target
    this.#state.cpu = 0
    this.#adopt(target)
    for (const stopper of this.#state.stoppers.values()) dataPackets.setStopper(this.#state, stopper)
  }

  /** The machine has ended: reports it to the client, and ends the session. @param code - the exit code, 0 to 255 */
  exited(code: number): void {
    if (this.#over) return
    if (this.#running) this.#reply(`W${(code & 0xff).toString(16).padStart(2, '0')}`)
    this.#end()
  }

  /** The connection has ended: the machine continues without a debugger. */
  closed(): void {
    if (this.#over) return
    this.#over = true
    this.#leave(true)
  }

  #adopt(target: GdbTarget): void {
    target.onStop((stop) => this.#stopped(stop))
  }

  #leave(resumes: boolean): void {
    const { target } = this.#state
    target.onStop(null)
    target.detach(resumes)
  }

  #end(): void {
    this.#over = true
    this.#stream.end()
  }

  #reply(text: string): void {
    const frame = framePacket(text)
    this.#last = frame
    this.#stream.write(frame)
  }

  #stopped(stop: TargetStop): void {
    this.#state.cpu = stop.cpu
    if (!this.#running) return
    this.#running = false
    if (stop.message !== undefined) this.#print(new TextEncoder().encode(`${stop.message}\n`))
    this.#reply(this.#describe(stop))
  }

  /** A stop reply. */
  #describe({ cpu, signal, breakpoint, watch, replayLog }: TargetStop): string {
    const { softwareBreakpoints, hardwareBreakpoints } = this.#state.understands
    const watches = { write: 'watch', read: 'rwatch', access: 'awatch' }
    let text = `T${signal.toString(16).padStart(2, '0')}thread:${threadOf(cpu)};core:${cpu.toString(16)};`
    if (watch !== undefined) text += `${watches[watch.kind]}:${watch.address.toString(16)};`
    if (breakpoint === 'software' && softwareBreakpoints) text += 'swbreak:;'
    if (breakpoint === 'hardware' && hardwareBreakpoints) text += 'hwbreak:;'
    if (replayLog !== undefined) text += `replaylog:${replayLog};`
    return text
  }

  #take(packet: string): void {
    this.#waiting.push(packet)
    // A client that does not wait for replies violates the protocol.
    if (this.#waiting.length > MOST_WAITING) {
      this.closed()
      this.#stream.end()
    } else void this.#work()
  }

  async #work(): Promise<void> {
    if (this.#working) return
    this.#working = true
    for (let packet = this.#waiting.shift(); packet !== undefined && !this.#over; packet = this.#waiting.shift()) {
      const reply = await this.#answer(packet).catch(() => ERROR_STATE)
      if (reply !== null && !this.#over) this.#reply(reply)
    }
    this.#working = false
  }

  /** @returns the reply; null: it comes later, or never */
  async #answer(packet: string): Promise<string | null> {
    const letter = packet[0] ?? ''
    if (letter === 'q' || letter === 'Q') return this.#query(packet)
    // A machine that runs has nothing that holds still.
    if (!this.#state.target.isStopped) return ERROR_STATE
    return letter === 'v' ? this.#verbose(packet) : this.#plain(letter, packet)
  }

  async #query(packet: string): Promise<string | null> {
    if (packet === 'QStartNoAckMode') {
      this.#reply('OK')
      this.#acknowledges = false
      return null
    }
    const reply = await answerQuery(this.#state, packet)
    if (!packet.startsWith('qRcmd,') || reply === 'OK' || reply === '' || reply.startsWith('E')) return reply
    // A command's text comes as output, in pieces, before the last reply.
    this.#print(fromHex(reply)!)
    return 'OK'
  }

  /** Sends output for the user. */
  #print(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += PRINTED_BYTES)
      this.#reply(`O${toHex(bytes.subarray(at, at + PRINTED_BYTES))}`)
  }

  #verbose(packet: string): string | null {
    if (packet === 'vCont?') return 'vCont;c;C;s;S'
    if (packet.startsWith('vCont;')) return this.#resume(parseVCont(this.#state, packet.slice(6)))
    if (packet.startsWith('vKill')) {
      this.#reply('OK')
      this.#kill()
      return null
    }
    return ''
  }

  #plain(letter: string, packet: string): string | null {
    const state = this.#state
    const rest = packet.slice(1)
    switch (letter) {
      case '?':
        return this.#describe(state.target.lastStop)
      case 'g':
        return dataPackets.readRegisters(state)
      case 'G':
        return dataPackets.writeRegisters(state, rest)
      case 'p':
        return dataPackets.readRegister(state, rest)
      case 'P':
        return dataPackets.writeRegister(state, rest)
      case 'm':
        return dataPackets.readMemory(state, rest)
      case 'M':
      case 'X':
        return dataPackets.writeMemory(state, rest, letter === 'X')
      case 'Z':
      case 'z':
        return dataPackets.changeStopper(state, rest, letter === 'Z')
      case 'c':
      case 's':
      case 'C':
      case 'S':
        return this.#resume(parseResume(state, packet))
      case 'b':
        return this.#reverse(rest)
      case 'H':
        return this.#choose(rest)
      case 'T':
        return (cpuOfThread(rest, state.target.cpus, 0) ?? -1) < 0 ? ERROR_ARGUMENT : 'OK'
      case 'D':
        this.#reply('OK')
        this.#leave(true)
        this.#end()
        return null
      case 'k':
        this.#kill()
        return null
      default:
        return ''
    }
  }

  #kill(): void {
    this.#state.target.onStop(null)
    this.#state.target.kill()
    this.#end()
  }

  #choose(text: string): string {
    const state = this.#state
    const cpu = cpuOfThread(text.slice(1), state.target.cpus, state.cpu)
    if (cpu === undefined) return ERROR_ARGUMENT
    if (text[0] === 'c') state.resumeCpu = text.slice(1) === '0' ? -1 : cpu
    else if (text[0] === 'g') state.cpu = Math.max(cpu, 0)
    else return ERROR_ARGUMENT
    return 'OK'
  }

  /** `bc` and `bs`. */
  #reverse(how: string): string | null {
    const { target, cpu, resumeCpu } = this.#state
    if (target.reverse === undefined || (how !== 'c' && how !== 's')) return ''
    this.#running = true
    target.reverse(how === 'c' ? 'continue' : 'step', resumeCpu < 0 ? cpu : resumeCpu)
    return null
  }

  #resume(actions: readonly CpuAction[] | undefined): string | null {
    if (actions === undefined) return ERROR_ARGUMENT
    this.#running = true
    this.#state.target.resume(actions, this.#state.steps)
    return null
  }
}
