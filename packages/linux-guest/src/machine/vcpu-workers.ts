import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { type StartVcpu, vcpuThreads, type VcpuWorker } from '@retrap/hvm/threads'
import { getsThreads, type PcOptions } from '@retrap/machine'
import { CliError } from '../errors.ts'

const startVcpuWorker: StartVcpu = (vcpu): VcpuWorker => {
  const isSource = import.meta.url.endsWith('.ts')
  const worker = new Worker(new URL(isSource ? '../vcpu-worker.ts' : './vcpu-worker.js', import.meta.url), {
    name: `vCPU ${vcpu}`,
    stdin: false,
    ...(isSource && { execArgv: ['--conditions=retrap-source'] }),
  })
  return {
    postMessage: (message) => worker.postMessage(message),
    listen: (onMessage, onEnd) => {
      worker.on('message', onMessage)
      worker.on('error', onEnd)
      worker.on('exit', () => onEnd(new Error('it has ended')))
    },
    terminate: () => void worker.terminate(),
  }
}

/** Reads the value of `--smp`. @throws CliError `ERR_USAGE`, for a number as well, which QEMU's option of that name has */
export function parseSmp(text: string): 'threads' | 'turns' {
  if (text === 'threads' || text === 'turns') return text
  const count = /\d+/.exec(text)?.[0] ?? '2'
  throw new CliError(
    'ERR_USAGE',
    `--smp ${text}: expected threads or turns; for a number write --cpus ${count}; retrap qemu takes QEMU's`,
  )
}

/** The options of a machine that decide how several vCPUs execute. */
export interface SmpFlags {
  readonly smp?: 'threads' | 'turns'
  readonly cpus: number
  readonly memory: number
  readonly arch?: string
  readonly hypervisor?: string
  readonly deterministic?: boolean
  readonly record?: string
  readonly replay?: string
  readonly vapic?: boolean
}

/**
 * How several vCPUs of a machine execute: in threads, unless the user wants turns, the machine is one that is refused threads, or
 * the host has a single processor. Memory of an x86 guest is ordered as on an x86 host, and on no other.
 *
 * @throws CliError `ERR_USAGE` for threads on another host
 */
export function smpOf(flags: SmpFlags): Pick<PcOptions, 'smp'> {
  const isOrdered = process.arch === 'x64'
  if (flags.smp === 'threads') {
    if (!isOrdered)
      throw new CliError(
        'ERR_USAGE',
        `--smp threads: this ${process.arch} host orders memory otherwise than x86; take turns`,
      )
    return { smp: vcpuThreads(startVcpuWorker) }
  }
  const { cpus, memory, arch = 'amd64', hypervisor = 'none', deterministic, record, replay, vapic } = flags
  const isRepeated = deterministic === true || record !== undefined || replay !== undefined
  const machine = {
    cpus,
    memoryBytes: memory,
    hypervisor: hypervisor as PcOptions['hypervisor'],
    vapic,
    machine: arch === 'amd64' ? 'pc' : 'virt',
    clock: isRepeated ? 'deterministic' : 'real',
  } as const
  const isFit = flags.smp !== 'turns' && isOrdered && getsThreads(machine, availableParallelism())
  return isFit ? { smp: vcpuThreads(startVcpuWorker) } : {}
}
