/** Runs the cluster of a file, and prints what happens. */
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import {
  type ClusterDescription,
  ClusterError,
  type ClusterEvent,
  type ClusterResult,
  readCluster,
  runCluster,
} from '@retrap/cluster'
import { CliError, troubleWith } from '../../errors.ts'
import { LinuxHost } from './host.ts'

/** The values of the options. */
export interface ClusterFlags {
  readonly seed: number
  readonly jsonl?: boolean
}

/** Where lines go. */
export interface ClusterOutputs {
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown }
}

/** Runs a cluster once. @returns whether nothing has failed @throws CliError `ERR_INPUT` */
export async function runClusterFile(
  file: string,
  { seed, jsonl = false }: ClusterFlags,
  { stdout, stderr }: ClusterOutputs,
): Promise<boolean> {
  const description = readDescription(file)
  const host = new LinuxHost(file, description.machines, (text) => void stderr.write(`retrap: ${text}\n`))
  const stop = new AbortController()
  const end = (): void => stop.abort()
  process.once('SIGINT', end)
  process.once('SIGTERM', end)
  try {
    const begin = performance.now()
    const onEvent = (event: ClusterEvent): void =>
      void stdout.write(jsonl ? `${JSON.stringify(event)}\n` : textOf(event))
    const result = await runCluster(description, seed, host, { onEvent, signal: stop.signal })
    if (jsonl) stdout.write(`${JSON.stringify({ kind: 'result', seed, ...result })}\n`)
    stderr.write(summary(result, seed, (performance.now() - begin) / 1000))
    return result.failure === undefined
  } catch (error) {
    throw error instanceof ClusterError ? new CliError('ERR_INPUT', `${file}: ${error.message}`) : error
  } finally {
    process.off('SIGINT', end)
    process.off('SIGTERM', end)
    await host.close()
  }
}

function readDescription(file: string): ClusterDescription {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new CliError('ERR_INPUT', `${file}: ${troubleWith(error, 'read')}`)
  }
  try {
    return readCluster(JSON.parse(text))
  } catch (error) {
    if (error instanceof ClusterError || error instanceof SyntaxError)
      throw new CliError('ERR_INPUT', `${file}: ${error.message}`)
    throw error
  }
}

const textOf = ({ ns, machine, text }: ClusterEvent): string =>
  `${(ns / 1e9).toFixed(6).padStart(12)} ${machine ?? '-'}: ${text}\n`

function summary({ failure, ns, properties }: ClusterResult, seed: number, seconds: number): string {
  const lines = properties.map(
    ({ kind, name, passed, failed }) => `retrap: ${kind} ${name}: ${passed} times ok, ${failed} times not\n`,
  )
  const time = `${(ns / 1e9).toFixed(3)} s of the cluster's time in ${seconds.toFixed(1)} s`
  return `${lines.join('')}retrap: seed ${seed}: ${failure ?? 'ok'} (${time})\n`
}
