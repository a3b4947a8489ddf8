import { AccessKind, AccessState, accessTag } from '@retrap/replay'
import type { AccessLog } from '@retrap/replay'
import { SLOW_DIRECT, SLOW_WRITE } from './access-flags.ts'
import { DEVICE_LOGGED, DEVICE_PLAIN } from './host.ts'
import type { CpuHost, Words } from './host.ts'
import { lowWord } from './plain-memory.ts'
import { STATUS_ASK, STATUS_DONE, STATUS_RESTART, STATUS_RETRY, S_DATA, S_LOGGED } from './state-layout.ts'

const DATA = S_DATA >>> 2

/** Port accesses of the TypeScript handlers, logged in a logged pass. */
export class PortAccess {
  readonly #host: CpuHost
  readonly #log: AccessLog
  readonly #u32: Uint32Array
  readonly #words: Words = { lo: 0, hi: 0 }

  /** @param u32 - the state area */
  constructor(host: CpuHost, log: AccessLog, u32: Uint32Array) {
    this.#host = host
    this.#log = log
    this.#u32 = u32
  }

  /** Makes an access; see `Cpu.port`. */
  access(port: number, flags: number): number {
    if (this.#u32[S_LOGGED >>> 2] === 1) return this.#accessLogged(port, flags)
    if ((flags & SLOW_DIRECT) === 0) return STATUS_RESTART
    const size = flags & 0xff
    if ((flags & SLOW_WRITE) !== 0) {
      const status = this.#host.portWrite(port, size, lowWord(this.#u32[DATA]!, size), DEVICE_PLAIN)
      return status === STATUS_ASK ? STATUS_RESTART : status
    }
    const status = this.#host.portRead(port, size, this.#words, DEVICE_PLAIN)
    if (status === STATUS_DONE) this.#u32[DATA] = this.#words.lo
    return status === STATUS_ASK ? STATUS_RESTART : status
  }

  #accessLogged(port: number, flags: number): number {
    const log = this.#log
    const size = flags & 0xff
    const write = (flags & SLOW_WRITE) !== 0
    const index = log.access(write ? AccessKind.PORT_WRITE : AccessKind.PORT_READ, port, 0, size, accessTag(0))
    if (log.state(index) !== AccessState.COMPLETE) {
      if (write && log.state(index) === AccessState.NEW) log.setData(index, this.#u32[DATA]!, 0)
      const status = write
        ? this.#host.portWrite(port, size, log.dataLo(index), DEVICE_LOGGED)
        : this.#host.portRead(port, size, this.#words, DEVICE_LOGGED)
      if (status === STATUS_RETRY) log.wait(index)
      if (status !== STATUS_DONE) return status
      if (!write) log.setData(index, this.#words.lo, 0)
      log.complete(index)
    }
    if (!write) this.#u32[DATA] = log.dataLo(index)
    return STATUS_DONE
  }
}
