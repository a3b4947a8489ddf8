import { createWriteStream, openAsBlob } from 'node:fs'
import { resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AwsClient } from 'aws4fetch'
import { isLoopback } from '../queue/queue-url.ts'
import { type Artefact, type ArtefactStore, digestOf, FolderStore, StoreError, verifiedFile } from './store.ts'

/** The most that one PUT takes, as the S3 API says ("Uploading objects"). */
const MOST_BYTES = 5 * 2 ** 30
/** Repeated with growing pauses after an error of the server: a restart takes a few seconds. */
const RETRIES = 8

/** A store on a server with the API of Amazon S3, which checks each upload by its hash. */
export class S3Store implements ArtefactStore {
  readonly #client: AwsClient
  readonly #base: string

  /**
   * @param address - `s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION`; without an endpoint, Amazon's
   * @param environment - with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and perhaps AWS_SESSION_TOKEN, AWS_REGION
   * @throws StoreError that shows no secret
   */
  constructor(address: string, environment: NodeJS.ProcessEnv = process.env) {
    if (!URL.canParse(address)) throw new StoreError('--store: give a folder, or s3://BUCKET/PREFIX')
    const { hostname: bucket, pathname, searchParams } = new URL(address)
    const region = searchParams.get('region') ?? environment['AWS_REGION'] ?? 'us-east-1'
    const endpoint = searchParams.get('endpoint') ?? `https://s3.${region}.amazonaws.com`
    if (bucket === '' || !URL.canParse(endpoint))
      throw new StoreError('--store: give s3://BUCKET/PREFIX?endpoint=https://HOST, or a folder')
    const { protocol, hostname } = new URL(endpoint)
    if (protocol !== 'https:' && !(protocol === 'http:' && isLoopback(hostname)))
      throw new StoreError(`--store ${protocol}//${hostname}: use https, as artefacts show what guests do`)
    const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = environment
    if (accessKeyId === undefined || secretAccessKey === undefined)
      throw new StoreError('--store s3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY')
    const { AWS_SESSION_TOKEN: sessionToken } = environment
    this.#client = new AwsClient({
      ...{ accessKeyId, secretAccessKey, region, service: 's3', retries: RETRIES },
      ...(sessionToken === undefined ? {} : { sessionToken }),
    })
    this.#base = [endpoint.replace(/\/+$/, ''), bucket, ...pathname.split('/').filter((part) => part !== '')].join('/')
  }

  async put(path: string): Promise<Artefact> {
    const digest = await digestOf(path)
    if (digest.bytes > MOST_BYTES)
      throw new StoreError(`${path} has ${digest.bytes} bytes; a store on S3 takes ${MOST_BYTES}`)
    const head = await this.#ask('HEAD', digest.sha256)
    if (head.status === 200) return digest
    const body = await openAsBlob(path)
    const { status } = await this.#ask('PUT', digest.sha256, body)
    if (status !== 200) throw this.#refusal('PUT', digest.sha256, status)
    return digest
  }

  async get(sha256: string, path: string): Promise<void> {
    const { status, body } = await this.#ask('GET', sha256)
    if (status === 404) throw new StoreError(`the store ${this.#base} has no ${sha256}`)
    if (status !== 200 || body === null) throw this.#refusal('GET', sha256, status)
    await verifiedFile(path, sha256, (scratch) => pipeline(Readable.fromWeb(body), createWriteStream(scratch)))
  }

  async #ask(method: string, sha256: string, body?: Blob): Promise<Response> {
    // The server refuses a body of another hash: a file may change while it is sent.
    const headers = body === undefined ? {} : { 'x-amz-content-sha256': sha256 }
    try {
      return await this.#client.fetch(`${this.#base}/${sha256}`, {
        ...{ method, headers },
        ...(body === undefined ? {} : { body }),
      })
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error)
      throw new StoreError(`the store ${this.#base} does not answer: ${cause}`)
    }
  }

  #refusal(method: string, sha256: string, status: number): StoreError {
    return new StoreError(`the store ${this.#base} refuses ${method} of ${sha256} with status ${status}`)
  }
}

/** Opens a store that an address or a folder names. @throws StoreError */
export function openStore(address: string): ArtefactStore {
  return address.startsWith('s3:') ? new S3Store(address) : new FolderStore(resolve(address))
}
