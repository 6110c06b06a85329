/**
 * Stand-in for `jsr:@std/log`, which is frozen at 0.224.14: named loggers, handlers and `setup`, without the file
 * handlers and the functions of the default logger.
 *
 * @module
 */

/** The name of a level. */
export type LevelName = "NOTSET" | "DEBUG" | "INFO" | "WARN" | "ERROR" | "CRITICAL";

const LEVELS: Record<LevelName, number> = { NOTSET: 0, DEBUG: 10, INFO: 20, WARN: 30, ERROR: 40, CRITICAL: 50 };

/** What a handler is given. */
export interface LogRecord {
  /** The message as text. */
  readonly msg: string;
  /** What was passed after the message. */
  readonly args: unknown[];
  /** When it was logged. */
  readonly datetime: Date;
  /** The level as a number. */
  readonly level: number;
  /** The level's name. */
  readonly levelName: string;
  /** The logger's name. */
  readonly loggerName: string;
}

/** Makes the text of a record. */
export type FormatterFunction = (logRecord: LogRecord) => string;

/** How a handler formats. */
export interface BaseHandlerOptions {
  /** Makes the text of a record: level and message unless told. */
  formatter?: FormatterFunction;
}

/** How a console handler formats. */
export interface ConsoleHandlerOptions extends BaseHandlerOptions {
  /** Whether the text is coloured by its level: yes unless told. */
  useColors?: boolean;
}

/** Writes the records at and above its level. */
export abstract class BaseHandler {
  /** Makes the text of a record. */
  formatter: FormatterFunction;

  /** A handler for the records at and above a level. */
  constructor(public levelName: LevelName, options: BaseHandlerOptions = {}) {
    this.formatter = options.formatter ?? (({ levelName, msg }) => `${levelName} ${msg}`);
  }

  /** Writes a record if its level is reached. */
  handle(logRecord: LogRecord): void {
    if (LEVELS[this.levelName] <= logRecord.level) this.log(this.format(logRecord));
  }

  /** The text of a record. */
  format(logRecord: LogRecord): string {
    return this.formatter(logRecord);
  }

  /** Writes a text. */
  abstract log(msg: string): void;

  /** Called when it comes into use. */
  setup(): void {}

  /** Called when it goes out of use. */
  destroy(): void {}
}

/** Writes to the standard output. A subclass whose `log` calls `console.error` writes to the standard error. */
export class ConsoleHandler extends BaseHandler {
  readonly #useColors: boolean;

  /** A handler for the records at and above a level. */
  constructor(levelName: LevelName, options: ConsoleHandlerOptions = {}) {
    super(levelName, options);
    this.#useColors = (options.useColors ?? true) && !Deno.noColor;
  }

  /** The text of a record, coloured by its level. */
  override format(logRecord: LogRecord): string {
    const text = super.format(logRecord);
    const color = { 20: 34, 30: 33, 40: 31, 50: 31 }[logRecord.level];
    if (!this.#useColors || color === undefined) return text;
    const colored = `\x1b[${color}m${text}\x1b[39m`;
    return logRecord.level === LEVELS.CRITICAL ? `\x1b[1m${colored}\x1b[22m` : colored;
  }

  /** Writes a text. */
  override log(msg: string): void {
    console.log(msg);
  }
}

/** The text of a message. */
function asString(data: unknown, quote = ""): string {
  if (typeof data === "string") return quote + data + quote;
  if (typeof data === "function") return "undefined";
  if (data instanceof Error) return data.stack ?? "";
  if (typeof data !== "object" || data === null) return String(data);
  return `{${Object.entries(data).map(([key, value]) => `"${key}":${asString(value, '"')}`).join(",")}}`;
}

/** Passes what is logged at and above its level on to its handlers. Without handlers it is silent. */
export class Logger {
  /** A logger of a name. */
  constructor(
    readonly loggerName: string,
    public levelName: LevelName,
    { handlers = [] }: { handlers?: BaseHandler[] } = {},
  ) {
    this.handlers = handlers;
  }

  /** Where it writes. */
  handlers: BaseHandler[];

  #log<T>(levelName: LevelName, message: T | (() => T), args: unknown[]): T | undefined {
    const enabled = LEVELS[this.levelName] <= LEVELS[levelName];
    if (!enabled && message instanceof Function) return undefined;
    const value = message instanceof Function ? message() : message;
    if (!enabled) return value;
    const { loggerName } = this;
    const record = {
      msg: asString(value),
      args,
      datetime: new Date(),
      level: LEVELS[levelName],
      levelName,
      loggerName,
    };
    for (const handler of this.handlers) handler.handle(record);
    return value;
  }

  /** Logs a message, or what a function returns, at the level DEBUG. */
  debug<T>(msg: T | (() => T), ...args: unknown[]): T | undefined {
    return this.#log("DEBUG", msg, args);
  }

  /** Logs a message, or what a function returns, at the level INFO. */
  info<T>(msg: T | (() => T), ...args: unknown[]): T | undefined {
    return this.#log("INFO", msg, args);
  }

  /** Logs a message, or what a function returns, at the level WARN. */
  warn<T>(msg: T | (() => T), ...args: unknown[]): T | undefined {
    return this.#log("WARN", msg, args);
  }

  /** Logs a message, or what a function returns, at the level ERROR. */
  error<T>(msg: T | (() => T), ...args: unknown[]): T | undefined {
    return this.#log("ERROR", msg, args);
  }

  /** Logs a message, or what a function returns, at the level CRITICAL. */
  critical<T>(msg: T | (() => T), ...args: unknown[]): T | undefined {
    return this.#log("CRITICAL", msg, args);
  }
}

/** Which handlers and loggers there are. */
export interface LogConfig {
  /** Handlers by name. */
  handlers?: Record<string, BaseHandler>;
  /** Loggers by name: their level (INFO unless told), and the names of their handlers. */
  loggers?: Record<string, { level?: LevelName; handlers?: string[] }>;
}

const loggers = new Map<string, Logger>();
const defaults = new ConsoleHandler("INFO");
let active = new Map<string, BaseHandler>();

/** Replaces all handlers and loggers. A logger that was got before stays as it was. */
export function setup(config: LogConfig): void {
  active.forEach((handler) => handler.destroy());
  active = new Map(Object.entries({ default: defaults, ...config.handlers }));
  active.forEach((handler) => handler.setup());
  loggers.clear();
  const configs: LogConfig["loggers"] = { default: { handlers: ["default"] }, ...config.loggers };
  for (const [name, { level = "INFO", handlers = [] }] of Object.entries(configs)) {
    const found = handlers.flatMap((handler) => active.get(handler) ?? []);
    loggers.set(name, new Logger(name, level, { handlers: found }));
  }
}

/** The logger of a name. One that was not set up has no handlers, so it is silent. */
export function getLogger(name = "default"): Logger {
  const logger = loggers.get(name) ?? new Logger(name, "NOTSET");
  loggers.set(name, logger);
  return logger;
}

setup({});
