/** Options and words of a command line of `retrap exec`. */
import type { PullPolicy } from '@retrap/oci/node'
import type { NamedKernel } from '../../guests/linux/kernel-names.ts'
import type { SharedFolder } from '@retrap/linux-guest/jobs/job'
import type { EmptyFolder } from '../../options/container-options.ts'

/** The architectures, by Debian's names. */
export const ARCHITECTURES = { 'x86-64': 'amd64', arm64: 'arm64' } as const

/** The values of the options. */
export interface ExecFlags {
  readonly arch: keyof typeof ARCHITECTURES
  readonly cpu?: string
  readonly kernel?: NamedKernel
  readonly kernels?: readonly NamedKernel[]
  readonly junit?: string
  readonly root: string
  readonly image?: string
  readonly pull?: PullPolicy
  readonly env?: readonly string[]
  readonly user?: string
  readonly workdir?: string
  readonly cwd?: string
  readonly entrypoint?: string
  readonly envFile?: readonly string[]
  readonly volume?: readonly SharedFolder[]
  readonly tmpfs?: readonly EmptyFolder[]
  readonly name?: string
  readonly memory: number
  readonly cpus: number
  readonly tty?: boolean
  readonly share?: readonly SharedFolder[]
  readonly device?: readonly string[]
  readonly module?: readonly string[]
  readonly timeout?: number
  readonly network?: boolean
  readonly recordOnFailure?: string
  readonly explain?: boolean
  readonly hide?: readonly string[]
  readonly stay?: number
  readonly stayMemory: number
  readonly running?: boolean
  readonly stop?: boolean
}

/** The options as they are given, with kernels as texts. */
export interface GivenFlags extends Omit<ExecFlags, 'kernel' | 'kernels'> {
  readonly kernel?: string
  readonly kernels?: string
}

/** A parsed command line. */
export interface ExecCall {
  readonly words: readonly string[]
  readonly flags: ExecFlags
  /** The arguments as they were given. */
  readonly given: readonly string[]
}

/** Exit code for retrap's own errors. */
export const OURS = 125
