import { secondsIn } from '@retrap/basics'
import { Domain, type FrameSet } from '@retrap/hvm'
import { migrate, type MigrateOptions, StoppableRun } from '@retrap/migration'
import { CliError } from '@retrap/linux-guest/errors'
import type { Machine } from '@retrap/linux-guest/machine/machine-contract'
import type { OpenDrives } from '../drives/open-drives.ts'
import { usage } from '../../options/values.ts'
import { type MigrationAddress, parseMigrationAddress, connectTo, nameOf } from './socket-channel.ts'

/** The part of a session that its {@link SessionMigration} needs. */
export interface MigrationHooks {
  /** Refuses a machine that cannot be saved. @throws CliError */
  check(machine: Pick<Machine, 'save'>): void
  /** Disks. */
  images(): Pick<OpenDrives, 'settle' | 'saveWrites' | 'release' | 'claim'> | undefined
  /** Rejects when the session ends: a migration that is under way does not go on. */
  readonly over: Promise<never>
  /** Whether the user has paused the machine. */
  isPaused(): boolean
  /** The machine runs on another host: the session ends. */
  gone(message: string): void
}

/** Moves the machine of a session away. */
export class SessionMigration {
  /** The run of the machine, which migrations stop. */
  readonly run: StoppableRun = new StoppableRun()
  /** Whether the machine has moved to another host. */
  isGone = false
  readonly #hooks: MigrationHooks
  /** Address that the machine is being moved to, or may be. */
  #target: MigrationAddress | null = null
  #isUnknown = false

  constructor(hooks: MigrationHooks) {
    this.#hooks = hooks
  }

  /**
   * Moves a machine: `migrate TARGET [downtime=MS] [bandwidth=MIB]`.
   *
   * @returns the text for the user
   * @throws CliError; MigrationError where the machine runs on
   */
  async migrate(machine: Machine, given: readonly string[]): Promise<string> {
    const { target, options } = parseGiven(given)
    if (this.#target !== null) throw new CliError('ERR_INPUT', `the machine is being moved to ${nameOf(this.#target)}`)
    this.#hooks.check(machine)
    const { domain } = machine
    if (!(domain instanceof Domain))
      throw new CliError('ERR_INPUT', 'this machine is in another thread: it cannot be moved')
    this.#target = target
    try {
      const channel = await connectTo(target)
      this.#hooks.over.catch(() => channel.close())
      const images = this.#hooks.images()
      const source = {
        domain,
        stop: () => this.run.stop(),
        resume: () => this.run.resume(),
        save: async (options: { readonly frames: () => FrameSet }) => {
          const { state, pages } = await machine.save!(options)
          await images?.settle()
          return { state: { ...state, writes: images?.saveWrites() }, pages }
        },
        release: async () => images?.release(),
        reclaim: async () => images?.claim(),
        isPaused: () => this.#hooks.isPaused(),
      }
      const report = await migrate(channel, source, options)
      this.#isUnknown = report.outcome === 'unknown'
      if (this.#isUnknown) {
        const where = nameOf(target)
        const why = report.error instanceof Error ? report.error.message : 'the connection has ended at the last moment'
        return [
          `${why}: the machine may run at ${where}. It is stopped here.`,
          'If it runs there, write migrate --abandon; if it does not, migrate --resume.\n',
        ].join('\n')
      }
      const mebibytes = (report.bytes / 2 ** 20).toFixed(1)
      const times = `${Math.ceil(report.downtimeMs)} ms of standstill, ${(report.totalMs / 1000).toFixed(1)} s in all`
      const told = `moved to ${nameOf(target)}: ${times}, ${mebibytes} MiB in ${report.rounds} rounds`
      this.isGone = true
      this.#hooks.gone(told)
      return `${told}\n`
    } finally {
      if (!this.#isUnknown) this.#target = null
    }
  }

  /**
   * Sets the machine's location by the user's decision, after the source could not determine it.
   *
   * @throws CliError if the location is known; ImageError `ERR_LOCKED` if another machine uses one of its disks
   */
  async decide(what: 'resume' | 'abandon'): Promise<string> {
    if (!this.#isUnknown || this.#target === null)
      throw new CliError('ERR_INPUT', `there is nothing to ${what}: no machine is between two places`)
    const where = nameOf(this.#target)
    if (what === 'resume') await this.#hooks.images()?.claim()
    this.#isUnknown = false
    this.#target = null
    if (what === 'resume') {
      this.run.resume()
      return 'the machine runs on here\n'
    }
    this.isGone = true
    this.#hooks.gone(`the machine is at ${where}`)
    return `the machine is at ${where}, and ends here\n`
  }
}

function parseGiven(given: readonly string[]): { readonly target: MigrationAddress; readonly options: MigrateOptions } {
  const [address, ...more] = given
  const form = 'write migrate unix:PATH or tcp:HOST:PORT,secret=FILE, perhaps with downtime=MS and bandwidth=MIB'
  if (address === undefined) throw usage(form)
  const target = parseMigrationAddress('migrate', address)
  let options: MigrateOptions = {}
  for (const pair of more) {
    const [, name, digits = '', unit = ''] = /^(downtime|bandwidth)=(\d+(?:\.\d+)?)(\w*)$/.exec(pair) ?? []
    const time = secondsIn(`${digits}${unit || 'ms'}`) ?? 0
    const value = name === 'downtime' ? time * 1000 : unit === '' ? Number(digits) : 0
    if (value <= 0) throw usage(`migrate: '${pair}': ${form}`)
    options = { ...options, ...(name === 'downtime' ? { downtimeMs: value } : { bytesPerSecond: value * 2 ** 20 }) }
  }
  return { target, options }
}
