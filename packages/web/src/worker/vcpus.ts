// How several vCPUs of a machine execute. Loaded for machines that have several.
import { type StartVcpu, vcpuThreads } from '@retrap/hvm/threads'
import { getsThreads, type PcOptions, requireSupported, traitsOf } from '@retrap/machine'
import { WebError } from '../errors.ts'
import type { SentOptions, ToWorker } from '../protocol.ts'

const startVcpuWorker: StartVcpu = (vcpu) => {
  // The Worker runs this Worker's program, which the browser has cached.
  const worker = new Worker(self.location.href, { type: 'module', name: `vCPU ${vcpu}` })
  const { port1, port2 } = new MessageChannel()
  worker.postMessage({ tell: 'execute', port: port2 } satisfies ToWorker, [port2])
  return {
    postMessage: (message) => port1.postMessage(message),
    listen(onMessage, onEnd) {
      port1.addEventListener('message', ({ data }) => onMessage(data))
      port1.start()
      worker.addEventListener('error', (event) => {
        event.preventDefault()
        onEnd(event.message || 'its program cannot be loaded')
      })
      // Browsers do not report a Worker ended from outside: its lock is free then.
      worker.addEventListener('message', ({ data: lock }: MessageEvent<string | null>) => {
        if (lock !== null) navigator.locks.request(lock, () => onEnd('by the browser')).catch(() => {})
      })
    },
    terminate: () => worker.terminate(),
  }
}

/** The part of `NavigatorUAData` that tells of the processor; Chromium has it. */
interface Agent {
  readonly userAgentData?: {
    getHighEntropyValues(hints: readonly string[]): Promise<{ readonly architecture?: string }>
  }
}

/**
 * Whether the computer orders memory as x86 does; undefined where the browser does not tell. Only Chromium names the processor, and
 * all browsers on a Mac call it Intel's.
 */
async function isOrdered(): Promise<boolean | undefined> {
  const { userAgentData, platform } = navigator as Navigator & Agent
  const told = await userAgentData?.getHighEntropyValues(['architecture']).catch(() => null)
  if (told?.architecture) return told.architecture === 'x86'
  if (/^Win|x86|i\d86/.test(platform)) return true
  return /arm|aarch/i.test(platform) ? false : undefined
}

/** The reason why vCPUs cannot have threads in this browser; undefined: they can. */
function lackOf(isX86: boolean | undefined): string | undefined {
  if (!globalThis.crossOriginIsolated) return 'this page is not cross-origin isolated'
  if (typeof SharedArrayBuffer !== 'function') return 'this browser has no SharedArrayBuffer'
  if (!('waitAsync' in Atomics)) return 'this browser has no Atomics.waitAsync'
  return isX86 === false ? 'this computer orders memory otherwise than x86' : undefined
}

/**
 * Returns how the vCPUs of a machine execute, and the missing requirement if they take turns for it.
 *
 * @param isRecorded - the machine is recorded, or is that of a recording
 * @throws WebError, MachineError `ERR_OPTION` for threads that cannot be
 */
export async function vcpusOf(
  { smp, board = 'pc' }: SentOptions,
  options: PcOptions,
  isRecorded: boolean,
): Promise<Pick<PcOptions, 'smp'> & { readonly turns?: string }> {
  const machine = { ...options, machine: board, clock: isRecorded ? 'deterministic' : 'real' } as const
  const threads = vcpuThreads(startVcpuWorker)
  const isX86 = await isOrdered()
  const lack = lackOf(isX86)
  if (smp === 'threads') {
    requireSupported('make', traitsOf({ ...machine, smp: threads }))
    if (lack !== undefined) throw new WebError('ERR_OPTION', `smp 'threads': ${lack}; take turns`)
    return { smp: threads }
  }
  if (!getsThreads(machine, navigator.hardwareConcurrency)) return {}
  const why = lack ?? (isX86 === true ? undefined : 'the browser does not tell whether this computer is an x86')
  return why === undefined ? { smp: threads } : { turns: `The processors take turns: ${why}.` }
}
