import type { Command, CommandEnd, CommandOptions, HearOutput, SandboxSignal } from './command.ts'
import { SandboxError } from './errors.ts'

/** Options of {@link Sandbox.spawn}. */
export interface SpawnOptions extends CommandOptions {
  /** Keeps the input open for `SandboxProcess.stdin`; default false. */
  readonly stdin?: boolean | undefined
  /** Kills the command. */
  readonly signal?: AbortSignal | undefined
}

/** A command with streams, made by {@link Sandbox.spawn}. */
export class SandboxProcess {
  /** Standard output. */
  readonly stdout: ReadableStream<Uint8Array>
  /** Standard error. */
  readonly stderr: ReadableStream<Uint8Array>
  /** Standard input; undefined without the option `stdin`. */
  readonly stdin: WritableStream<Uint8Array> | undefined
  /** The process's number in the sandbox. */
  readonly pid: number
  /** Settles at the process's end. @throws SandboxError; or the reason of a signal */
  readonly ended: Promise<CommandEnd>
  readonly #command: Command

  private constructor(
    command: Command,
    pid: number,
    ended: Promise<CommandEnd>,
    outputs: readonly ReadableStream<Uint8Array>[],
    hasInput: boolean,
  ) {
    this.#command = command
    this.pid = pid
    this.ended = ended
    this.stdout = outputs[0]!
    this.stderr = outputs[1]!
    this.stdin = hasInput
      ? new WritableStream({
          write: (bytes) => command.write(bytes),
          close: () => command.end(),
          abort: () => command.end(),
        })
      : undefined
  }

  /** @internal Use {@link Sandbox.spawn}. */
  static async start(
    { stdin = false, signal }: SpawnOptions,
    mostBytes: number,
    start: (hear: HearOutput) => Promise<Command>,
  ): Promise<SandboxProcess> {
    const controllers: ReadableStreamDefaultController<Uint8Array>[] = []
    const outputs = [0, 1].map(
      () =>
        new ReadableStream<Uint8Array>(
          { start: (controller) => void controllers.push(controller) },
          { highWaterMark: mostBytes, size: (bytes) => bytes?.length ?? 0 },
        ),
    )
    const stopped = Promise.withResolvers<never>()
    let isStopped = false
    const stop = (error: unknown): void => {
      if (isStopped) return
      isStopped = true
      command.kill('SIGKILL')
      for (const one of controllers) one.error(error)
      stopped.reject(error)
    }
    const command = await start((stream, bytes) => {
      const output = controllers[stream - 1]!
      if (isStopped) return
      if ((output.desiredSize ?? 0) >= bytes.length) output.enqueue(bytes)
      else stop(new SandboxError('ERR_SANDBOX_OUTPUT', `over ${mostBytes} bytes wait for a reader`))
    })
    const aborted = (): void => stop(signal?.reason)
    signal?.addEventListener('abort', aborted)
    if (signal?.aborted === true) aborted()
    const over = (act: (one: ReadableStreamDefaultController<Uint8Array>) => void): void => {
      signal?.removeEventListener('abort', aborted)
      if (!isStopped) controllers.forEach(act)
    }
    command.ended.then(
      () => over((one) => one.close()),
      (error: unknown) => over((one) => one.error(error)),
    )
    const ended = Promise.race([command.ended, stopped.promise])
    // Readers of the outputs get the error as well.
    ended.catch(() => undefined)
    return new SandboxProcess(command, await command.started, ended, outputs, stdin)
  }

  /** Sends a signal to the command's process group. @throws SandboxError `ERR_SANDBOX_OPTION` for an unknown name */
  kill(signal: SandboxSignal = 'SIGTERM'): void {
    this.#command.kill(signal)
  }
}
