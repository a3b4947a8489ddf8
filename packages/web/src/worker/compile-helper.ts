import type { CompileHelper, HelperAnswer, HelperPort } from '@retrap/x86-cpu'
import type { ToWorker } from '../protocol.ts'

/** A Worker that compiles hot code for this one's machines, which go on meanwhile. It ends with this one. */
let worker: Worker | undefined

const helper: CompileHelper = {
  connect(hear, failed): HelperPort {
    // The Worker runs this Worker's program, which the browser has cached.
    worker ??= new Worker(self.location.href, { type: 'module', name: 'retrap compiler' })
    const { port1, port2 } = new MessageChannel()
    port1.addEventListener('message', ({ data }: MessageEvent<HelperAnswer>) => hear(data))
    port1.start()
    worker.addEventListener('error', (event) => {
      // Machines then compile by themselves: a notice is not needed.
      event.preventDefault()
      failed()
    })
    worker.postMessage({ tell: 'compile', port: port2 } satisfies ToWorker, [port2])
    return { post: (message) => port1.postMessage(message) }
  },
}

/** Returns the compile helper for the machine of this Worker; undefined where there is no further processor for it. */
export function compileHelper(): CompileHelper | undefined {
  return navigator.hardwareConcurrency > 1 ? helper : undefined
}
