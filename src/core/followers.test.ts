import { expect, test } from "vitest";
import { Followers } from "./followers.ts";
import type { Told } from "./log.ts";

const CHANGED: Told = { type: "changed" };

function stage() {
  const faults: unknown[] = [];
  const story: string[] = [];
  const followers = new Followers((error) => faults.push(error));
  const follow = (name: string, channel = "c", then: () => void = () => undefined) =>
    followers.follow(channel, (told) => {
      story.push(`${name} ${told.type === "changed" ? "changed" : told.epoch}`);
      then();
    });
  return { faults, story, followers, follow };
}

const appended = (epoch: string): Told => ({ type: "appended", epoch, entries: [] });

test("every follower of a channel is told, in the order in which they came, and nobody else", () => {
  const { story, followers, follow } = stage();
  follow("a");
  follow("other", "d");
  follow("b");
  followers.tell("c", CHANGED);
  expect(story).toEqual(["a changed", "b changed"]);
  followers.tellAll(CHANGED);
  expect(story.slice(2).sort()).toEqual(["a changed", "b changed", "other changed"]);
});

test("[D7] a channel is forgotten with its last follower, and leaving twice takes nobody else along", () => {
  const { followers, follow } = stage();
  const leave = follow("a");
  leave();
  expect(followers.has("c")).toBe(false);
  follow("b");
  leave();
  expect(followers.has("c")).toBe(true);
});

test("[D1] what a follower causes is told when all have heard of what it was told: all see one order", () => {
  const { story, followers, follow } = stage();
  let told = 0;
  follow("a", "c", () => {
    if (told++ === 0) followers.tell("c", appended("second"));
  });
  follow("b");
  followers.tell("c", appended("first"));
  expect(story).toEqual(["a first", "b first", "a second", "b second"]);
});

test("who leaves while others are told is told nothing more, and who comes hears what happens next", () => {
  const { story, followers, follow } = stage();
  follow("a", "c", () => {
    leave();
    if (!story.includes("late changed") && story.length === 1) follow("late");
  });
  const leave = follow("b");
  followers.tell("c", CHANGED);
  expect(story).toEqual(["a changed"]);
  followers.tell("c", CHANGED);
  expect(story).toEqual(["a changed", "a changed", "late changed"]);
});

test("one that throws does not keep the others from being told", () => {
  const { story, faults, followers, follow } = stage();
  follow("a", "c", () => {
    throw new Error("a fault");
  });
  follow("b");
  followers.tell("c", CHANGED);
  followers.tell("c", CHANGED);
  expect([story.length, faults.length]).toEqual([4, 2]);
});

test("when all are let go nobody is told, not even of what waited", () => {
  const { story, followers, follow } = stage();
  follow("a", "c", () => {
    followers.tell("c", CHANGED);
    followers.clear();
  });
  followers.tell("c", CHANGED);
  expect(story).toEqual(["a changed"]);
});
